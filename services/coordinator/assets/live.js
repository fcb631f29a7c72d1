// Pages that show something moving carry data-live on <main>: fetch the same address every two seconds and swap <main>.
// A hidden tab asks for nothing; a failed request leaves the page as it is and tries again.
"use strict";
const refresh = async () => {
  const main = document.querySelector("main[data-live]");
  if (!main || document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (fresh) main.replaceWith(document.adoptNode(fresh));
  } catch {
    // the coordinator is away; the next round asks again
  }
};
setInterval(refresh, 2000);
