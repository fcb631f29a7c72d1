// pg-boss with its defaults (jobs expire after 15 minutes) but for polling: every 0.5 s, its shortest, in batches, because a worker
// takes one batch for each poll. A batch is worked off PEER_SLOTS at a time and completed as a whole.
const fs = require('node:fs')
const PgBoss = require('pg-boss')

const QUEUE = 'peers'
const CHUNK = 1000
const { PEER_DATABASE_URL, PEER_EFFECTS, PEER_STARTS } = process.env
const SLOTS = Number(process.env.PEER_SLOTS ?? 1)
const PAUSE = Number(process.env.PEER_PAUSE_MS ?? 0)
// of 50 ms tasks as many as last a little longer than the time between polls
const BATCH = PAUSE > 0 ? Math.ceil(700 / PAUSE) * SLOTS : 500

function line (what, no) {
  const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n
  fs.appendFileSync(PEER_EFFECTS, `${what} ${no} ${process.pid} ${now}\n`)
}

async function nap (no) {
  if (PEER_STARTS !== undefined) line('S', no)
  if (PAUSE > 0) await new Promise(resolve => setTimeout(resolve, PAUSE))
  line('E', no)
}

async function batch (jobs) {
  const rest = jobs.values()
  const slot = async () => { for (const job of rest) await nap(job.data.no) }
  await Promise.all(Array.from({ length: SLOTS }, slot))
}

async function main ([verb, count]) {
  const boss = new PgBoss(PEER_DATABASE_URL)
  boss.on('error', error => console.error(error))
  await boss.start()
  if (verb === 'setup') {
    await boss.createQueue(QUEUE)
  } else if (verb === 'enqueue') {
    const began = performance.now()
    for (let from = 0; from < Number(count); from += CHUNK) {
      const length = Math.min(CHUNK, Number(count) - from)
      await boss.insert(Array.from({ length }, (_, no) => ({ name: QUEUE, data: { no: from + no } })))
    }
    console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }))
  } else if (verb === 'work') {
    await boss.work(QUEUE, { batchSize: BATCH, pollingIntervalSeconds: 0.5 }, batch)
    return
  } else {
    throw new Error('usage: pgboss.js setup|enqueue COUNT|work')
  }
  await boss.stop()
  process.exit(0)
}

main(process.argv.slice(2)).catch(error => { console.error(error); process.exit(1) })
