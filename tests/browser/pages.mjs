// Every page and action of the dashboard in a real browser, against a live cluster. Each page is opened in both themes and at 375
// pixels: nothing may be written to the console as an error, no policy may be violated, axe-core may find no serious fault, and a
// narrow page may not be wider than the screen. Screenshots go to the folder that the second argument names.
//
//   node pages.mjs FACTS.json FOLDER
//
// FACTS.json: { server, done, running, doomed, held, task, dead, waiting, dataset, pack, worker }, see tests/stories/browser.rs.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

// where the packages were installed, apart from the sources
const require = createRequire(`${process.env.CFX_BROWSER_MODULES}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const facts = JSON.parse(readFileSync(process.argv[2], "utf8"));
const folder = process.argv[3];
mkdirSync(folder, { recursive: true });

const faults = [];
const browser = await chromium.launch({
  executablePath: process.env.CFX_CHROMIUM ?? "/usr/bin/chromium",
  // as root in a container there is no sandbox to be had; pages come from the process under test alone
  args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
});

// A page that notes what goes wrong on it.
const open = async (name, options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1240, height: 900 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: facts.server });
  // axe is a tool of this test: it is put in beside the policy, which the page itself stays under
  const page = await context.newPage();
  page.fault = (text) => faults.push(`${name}: ${text}`);
  page.expected = [];
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() !== "error" && !text.includes("Content Security Policy")) return;
    if (page.expected.some((part) => text.includes(part))) return;
    page.fault(`console: ${text}`);
  });
  page.on("pageerror", (error) => page.fault(`script: ${error.message}`));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  return page;
};

const visit = async (page, path, status = 200) => {
  const answer = await page.goto(facts.server + path, { waitUntil: "load" });
  assert.equal(answer.status(), status, path);
  return answer;
};

// Pictures that are loaded when they come into view have to come into view.
const settled = async (page) => {
  await page.evaluate(async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
    for (const image of document.images) if (!image.naturalWidth) throw new Error(`no picture at ${image.src}`);
  });
  await page.waitForTimeout(150);
};

const checked = async (page) => {
  for (const violation of await page.evaluate(() => window.violations)) page.fault(`policy: ${violation}`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, help, nodes } of found.violations) {
    if (impact !== "serious" && impact !== "critical") continue;
    page.fault(`axe ${impact} ${id}: ${help}\n    ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join("\n    ")}`);
  }
};

const pages = {
  jobs: "/",
  job: `/jobs/${facts.done}`,
  "job-running": `/jobs/${facts.running}`,
  "task-waiting": `/tasks/${facts.waiting}`,
  gallery: `/jobs/${facts.done}/gallery`,
  "gallery-by-source": `/jobs/${facts.done}/gallery?view=sources&columns=strength&edit=green-hair`,
  result: `/results/${facts.task}`,
  task: `/tasks/${facts.dead}`,
  workers: "/workers",
  datasets: "/datasets",
  dataset: `/datasets/${facts.dataset}`,
  packs: "/packs",
  pack: `/packs/${facts.pack}`,
  audit: "/audit",
  "new-job": `/jobs/new?like=${facts.task}`,
  "not-found": "/jobs/job_00000000000000000000000000000000",
};

// ---------------------------------------------------------------- what pages do

const actions = {
  async "a job is paused, resumed and cancelled, and the page follows without being loaded"(page) {
    await visit(page, `/jobs/${facts.doomed}`);
    await page.locator("#stream.live").waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator(".head .state.paused").waitFor();
    await page.locator(".notice.good").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.locator(".head .state.active").waitFor();
    // another tab, or cfx: this page hears of it
    await fetch(`${facts.server}/v1/jobs/${facts.doomed}/pause`, { method: "POST" });
    await page.locator(".head .state.paused").waitFor();
    await page.locator("form#limits").waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator(".head .state.cancelled").waitFor();
    await page.locator("form#limits").waitFor({ state: "detached" });
  },

  async "a stream ends while the tab is hidden, and says when it is lost and when it is back"(page) {
    await visit(page, `/jobs/${facts.running}`);
    await page.locator("#stream.live").waitFor();
    const hide = (hidden) =>
      page.evaluate((value) => {
        Object.defineProperty(document, "hidden", { value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await hide(true);
    await page.locator("#stream.paused").waitFor();
    await hide(false);
    await page.locator("#stream.live").waitFor();
    page.expected.push("ERR_INTERNET_DISCONNECTED", "htmx");
    await page.context().setOffline(true);
    // a stream that is open goes on until it is broken off: the next connection fails
    await hide(true);
    await hide(false);
    await page.locator("#stream.lost").waitFor();
    await page.context().setOffline(false);
    await page.locator("#stream.live").waitFor();
    assert.equal(await page.locator("#stream").textContent(), "live again");
  },

  async "dead tasks are tried again after a dry run"(page) {
    await visit(page, `/jobs/${facts.done}`);
    const dead = await page.locator(".facts .bad b").textContent();
    await page.getByRole("button", { name: "Retry dead tasks…" }).click();
    await page.getByText("Nothing has been changed yet").waitFor();
    // they die again soon: what the page shows in between is noted as it comes
    await page.evaluate(() => {
      window.shown = [];
      const note = () => window.shown.push(document.querySelector(".head .state").textContent);
      new MutationObserver(note).observe(document.getElementById("live"), { subtree: true, childList: true, characterData: true });
    });
    await page.getByRole("button", { name: `Retry ${dead}`, exact: true }).click();
    await page.getByText("will be tried again").waitFor();
    // the page shows what it was seen to do, without being loaded
    await page.waitForFunction(() => window.shown.includes("active"));
  },

  async "a job's limits are set by a form, and its chart follows the stream"(page) {
    await visit(page, `/jobs/${facts.running}`);
    await page.locator("#stream.live").waitFor();
    await page.locator("#throughput canvas").waitFor();
    const curves = () => page.evaluate(() => JSON.parse(document.getElementById("throughput").dataset.values));
    assert.deepEqual(await page.locator(".keys .key").allTextContents(), Object.keys(await curves()));
    const limits = page.locator("form#limits");
    await limits.getByLabel("Batches at once").fill("3");
    await limits.getByLabel("Deadline (UTC)").fill("2090-01-01T10:00");
    // the page moves beside it, and what was typed stays
    await page.waitForTimeout(1_500);
    assert.equal(await limits.getByLabel("Batches at once").inputValue(), "3");
    await limits.getByRole("button", { name: "Set limits" }).click();
    await page.locator(".notice.good", { hasText: "Limits set" }).waitFor();
    const job = await (await fetch(`${facts.server}/v1/jobs/${facts.running}`)).json();
    assert.deepEqual(job.limits, { max_concurrent: 3, deadline: "2090-01-01T10:00:00Z" });
    page.expected.push("422");
    await limits.getByLabel("Tasks per minute").fill("many");
    await limits.getByRole("button", { name: "Set limits" }).click();
    await page.locator("#notices .bad", { hasText: "many" }).waitFor();
    for (const [name, value] of [["Tasks per minute", ""], ["Batches at once", ""], ["Deadline (UTC)", ""]])
      await limits.getByLabel(name).fill(value);
    await limits.getByRole("button", { name: "Set limits" }).click();
    await page.locator(".notice.good", { hasText: "Limits set" }).waitFor();
    // a new minute comes by the stream, and the chart has it
    const minutes = Object.values(await curves())[0].length;
    await page.waitForFunction(
      (seen) => Object.values(JSON.parse(document.getElementById("throughput").dataset.values))[0].length > seen,
      minutes,
      { timeout: 90_000 },
    );
    assert.equal(await page.locator("#throughput canvas").count(), 1, "it is drawn anew, not once more");
  },

  async "a task is paused, resumed and cancelled alone"(page) {
    const tasks = await (await fetch(`${facts.server}/v1/jobs/${facts.held}/tasks?limit=1000`)).json();
    await visit(page, `/tasks/${tasks.items.at(-1).id}`);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("h1 .state.paused").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.locator("h1 .state:is(.ready, .blocked)").waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("h1 .state.cancelled").waitFor();
    await page.locator(".notice.good", { hasText: "Cancelled" }).waitFor();
    assert.equal(await page.locator(".actions .button").count(), 0);
  },

  async "jobs are found by state and text, and the choice is in the address"(page) {
    await visit(page, "/");
    // the one whose state does not depend on how fast the machine is
    await page.getByLabel("Text").fill("held BACK");
    await page.getByLabel("State").selectOption("paused");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/q=held\+BACK/);
    assert.equal(await page.locator("tbody tr").count(), 1);
    await visit(page, "/?q=nothing+is+called+so");
    await page.getByText("No job fits").waitFor();
  },

  async "the gallery is sorted, filtered, flagged and rejected, and its dividers obey the keyboard"(page) {
    await visit(page, `/jobs/${facts.done}/gallery`);
    const slider = page.locator("img-comparison-slider").first();
    await slider.focus();
    await page.keyboard.down("ArrowRight");
    await page.waitForTimeout(400);
    await page.keyboard.up("ArrowRight");
    assert.ok(Number(await slider.getAttribute("aria-valuenow")) > 50, "the divider has moved");
    const card = page.locator(".gallery figure").first();
    await card.getByRole("button", { name: "Flag" }).click();
    await card.getByText("flagged").waitFor();
    await page.getByRole("link", { name: "flagged" }).click();
    assert.equal(await page.locator(".gallery figure").count(), 1);
    // an order and every filter go together, and none of them is forgotten
    await page.getByLabel("Order").selectOption({ label: "preservation, highest first" });
    await page.getByRole("button", { name: "Sort" }).click();
    await page.waitForURL(/review=flagged&sort=-preservation/);
    const verdict = await page.locator(".gallery .state").first().textContent();
    await page.locator("nav[aria-label=Verdict]").getByRole("link", { name: `${verdict}ed`, exact: true }).click();
    await page.waitForURL(/verdict=.*review=flagged&sort=-preservation/);
    assert.equal(await page.locator(".gallery figure").count(), 1);
    await page.getByRole("button", { name: "Take back" }).click();
    await page.getByRole("button", { name: "Reject" }).click();
    await page.locator(".review-rejected").waitFor();
    await visit(page, `/jobs/${facts.done}/gallery?sort=-preservation&verdict=accepted`);
    await page.locator(".gallery figure").first().waitFor();
    const scores = await page.locator("figcaption > .soft").allTextContents();
    const values = scores.map((text) => Number(text.split(" ").at(-1)));
    assert.ok(values.length > 0, "some are accepted");
    assert.deepEqual(values, values.toSorted((a, b) => b - a));
    await page.getByLabel("Order").selectOption({ label: "mean change, lowest first" });
    await page.getByRole("button", { name: "Sort" }).click();
    await page.waitForURL(/sort=mean_change/);
    await page.locator(".gallery figure").first().waitFor();
  },

  async "a result tells its credential, its curve and its recipe"(page) {
    await visit(page, `/results/${facts.task}`);
    await page.locator(".credential-trusted").waitFor();
    await page.getByText("It names the record of this page").waitFor();
    await page.locator(".plot canvas").waitFor();
    await page.getByRole("button", { name: "Copy recipe" }).click();
    await page.getByText("Copied").waitFor();
    const recipe = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    assert.equal(recipe.text.target, "a face with green hair");
    await page.getByLabel("Note").fill('"><b>a note</b>');
    await page.getByRole("button", { name: "Approve" }).click();
    await page.locator(".review-approved").waitFor();
    await page.getByText('"><b>a note</b>').waitFor();
    await page.getByRole("button", { name: "Take back" }).click();
    await page.getByRole("link", { name: "Run again with changes" }).click();
    await page.waitForURL(/like=/);
    assert.equal(await page.getByLabel("Texts").inputValue(), "a face with green hair");
  },

  async "a job is estimated, tried on one image and submitted"(page) {
    // workers come to it sooner
    await fetch(`${facts.server}/v1/jobs/${facts.running}/pause`, { method: "POST" });
    await visit(page, "/jobs/new");
    await page.getByLabel("Name").fill("from the browser");
    await page.locator("select[name=dataset]").selectOption(facts.dataset);
    await page.getByLabel("Texts").fill("a face with green hair");
    await page.locator("select[name=method]").selectOption("clip-nce");
    await page.getByLabel("Only the first images").fill("2");
    await page.getByText("More, as JSON").click();
    await page.getByLabel("The method's other parameters").fill('{"steps": 2}');
    await page.getByLabel("Strengths").fill("1, 2");
    await page.getByLabel("Precision").selectOption("bf16");
    await page.getByLabel("Name").focus();
    await page.locator("#estimate b", { hasText: "4 images" }).waitFor();
    await page.getByRole("button", { name: "Try it on one image" }).click();
    await page.locator("#preview figure").waitFor({ timeout: 240_000 });
    await page.locator("#preview .state.succeeded").waitFor({ timeout: 60_000 });
    await settled(page);
    await page.screenshot({ path: `${folder}/new-job-preview.png`, fullPage: true });
    page.expected.push("422");
    await page.getByLabel("Strengths").fill("much");
    await page.getByRole("button", { name: "Submit the job" }).click();
    await page.locator("#notices .bad", { hasText: "much" }).waitFor();
    await page.getByLabel("Strengths").fill("1, 2");
    await page.getByRole("button", { name: "Submit the job" }).click();
    await page.waitForURL(/\/jobs\/job_/);
    await page.getByRole("heading", { name: "from the browser" }).waitFor();
    await page.locator(".head .state.succeeded").waitFor({ timeout: 120_000 });
    const job = new URL(page.url()).pathname.split("/")[2];
    const results = await (await fetch(`${facts.server}/v1/jobs/${job}/results?limit=1`)).json();
    await visit(page, `/jobs/new?like=${results.items[0].task}`);
    assert.equal(await page.getByLabel("Precision").inputValue(), "bf16", "the recipe's precision is kept");
  },

  async "the theme is remembered, and everything is reached by keyboard"(page) {
    await visit(page, "/");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    await page.locator("#theme").click();
    await page.locator("#theme").click();
    assert.notEqual(await ground(), before);
    await page.reload();
    assert.notEqual(await ground(), before, "the theme is remembered");
    await page.locator("#theme").click();
  },

  async "a worker is drained"(page) {
    await visit(page, "/workers");
    const row = page.locator(`tr#${facts.worker}`);
    page.once("dialog", (dialog) => dialog.accept());
    await row.getByRole("button", { name: /Drain/ }).click();
    await page.locator(".notice.good", { hasText: "takes no more work" }).waitFor();
    await row.locator(".state:is(.draining, .gone)").waitFor({ timeout: 30_000 });
    await visit(page, "/audit");
    await page.getByText("worker.drain").first().waitFor();
    await page.getByText("job.cancel").first().waitFor();
    await page.getByText("job.limits").first().waitFor();
    await page.getByText("task.cancel").first().waitFor();
    await page.getByText("result.review").first().waitFor();
  },
};

// ---------------------------------------------------------------- the run

const looks = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["phone", { colorScheme: "light", viewport: { width: 375, height: 760 }, deviceScaleFactor: 2 }],
];
for (const [look, options] of looks) {
  for (const [name, path] of Object.entries(pages)) {
    const page = await open(`${name}, ${look}`, options);
    if (name === "not-found") page.expected.push("404");
    await visit(page, path, name === "not-found" ? 404 : 200);
    if (name === "result") await page.locator(".credential-trusted, .credential-valid").waitFor();
    // the first minute of its work is over then
    if (name === "job-running") await page.locator("#throughput canvas").waitFor({ timeout: 150_000 });
    if (name === "new-job") await page.locator("#estimate b").first().waitFor();
    await settled(page);
    await checked(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) page.fault(`the page is ${wide} pixels wider than the screen`);
    await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: look !== "phone" });
    await page.context().close();
  }
}
console.log(`${Object.keys(pages).length} pages looked at in ${looks.length} ways`);
for (const [name, act] of Object.entries(actions)) {
  const page = await open(name);
  page.setDefaultTimeout(20_000);
  const before = faults.length;
  try {
    await act(page);
    await checked(page);
  } catch (error) {
    page.fault(error.message);
    await page.screenshot({ path: `${folder}/fault-${Object.keys(actions).indexOf(name)}.png` }).catch(() => {});
  }
  console.log(`${faults.length === before ? "ok   " : "FAULT"} ${name}`);
  await page.context().close();
}
await browser.close();
if (faults.length > 0) {
  console.error(`\n${faults.length} faults:\n${[...new Set(faults)].join("\n")}`);
  process.exit(1);
}
