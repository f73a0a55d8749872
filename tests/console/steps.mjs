// What somebody does at the console, step by step, in Debian's Chromium. Each part is run against a
// Tollgate that its test has started: `node tests/console/steps.mjs PART`.
//
// Every part ends by holding that no page broke its Content-Security-Policy and no script failed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const told = JSON.parse(process.env.TOLLGATE_TEST_CONSOLE);
const require = createRequire(`${told.modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: told.chromium,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

// What went wrong on any page.
const broken = [];

async function open(options = {}) {
  const context = await browser.newContext({ timezoneId: "Europe/Berlin", ...options });
  context.setDefaultTimeout(20_000);
  await context.exposeBinding("brokenPolicy", (_, what) => broken.push(what));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.brokenPolicy(`${event.violatedDirective} by ${event.blockedURI} on ${event.documentURI}`);
    });
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => broken.push(`${page.url()}: ${error}`));
  page.on("console", (line) => {
    if (/Content.Security.Policy/i.test(line.text())) broken.push(line.text());
  });
  return page;
}

async function signIn(page, role) {
  await page.goto(told.console);
  await page.getByLabel("Key").fill(told.keys[role]);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Customers", exact: true }).waitFor();
}

// As a gateway asks before it lets a request through.
async function passes(method = "POST", customer = "Cust_1") {
  const headers = { "x-customer-id": customer, "x-forwarded-method": method, "x-forwarded-uri": "/orders" };
  const answer = await fetch(`${told.check}/v1/forward-auth`, { headers });
  return answer.status === 200;
}

async function api(host, method, path, body) {
  const answer = await fetch(host + path, {
    method,
    headers: { authorization: `Bearer ${told.keys.admin}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const said = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(said));
  return said;
}

const button = (page, name) => page.getByRole("button", { name, exact: true });
const customerPage = (page) => page.goto(`${told.console}/customers/Cust_1`);

const parts = {
  // BillaBear's guide: sign in, customers, choose the customer, press the button, confirm.
  async guide() {
    const steps = async (press, confirm, becomes, done) => {
      const page = await open();
      await signIn(page, "support"); // 1
      await page.getByRole("link", { name: "Customers", exact: true }).click(); // 2
      await page.getByRole("link", { name: "Cust_1" }).first().click(); // 3
      await button(page, press).click(); // 4
      await page.getByRole("dialog").waitFor();
      if (press === "Disable") {
        await page.getByRole("dialog").getByLabel("Reason").selectOption({ label: "Non-payment" });
        await page.getByRole("dialog").getByLabel("Notes").fill("Asked for by finance");
      }
      await button(page.getByRole("dialog"), confirm).click(); // 5
      const said = await page.getByRole("status").filter({ hasText: "at revision" }).innerText();
      assert.match(said, new RegExp(`${done} at revision \\S+:\\d+\\.\\d+`));
      await button(page, becomes).waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      await page.context().close();
    };
    assert.equal(await passes(), true);
    await steps("Disable", "Disable Cust_1", "Enable", "Disabled");
    assert.equal(await passes(), false);
    assert.equal(await passes("GET"), false);
    await steps("Enable", "Enable Cust_1", "Disable", "Enabled");
    assert.equal(await passes(), true);
  },

  async plain() {
    const page = await open({ javaScriptEnabled: false });
    await signIn(page, "support");
    await customerPage(page);
    await page.locator("summary", { hasText: "Freeze" }).click();
    const form = page.locator("details[open] form");
    await form.getByLabel("Ends by itself").fill("2099-06-01T12:00:00");
    await form.getByRole("button", { name: "Freeze Cust_1" }).click();
    await page.getByText("Frozen at revision").waitFor();
    assert.equal(await passes(), false);
    assert.equal(await passes("GET"), true);
    const { restrictions } = await api(told.console, "GET", "/v1/customers/Cust_1");
    assert.equal(restrictions[0].until, "2099-06-01T12:00:00Z");
    await page.locator("summary", { hasText: "Unfreeze" }).click();
    await page.getByRole("button", { name: "Unfreeze Cust_1" }).click();
    await page.getByText("Unfrozen at revision").waitFor();
    assert.equal(await passes(), true);
  },

  async freeze() {
    const page = await open();
    await signIn(page, "support");
    await customerPage(page);
    await button(page, "Freeze").click();
    const end = new Date(Math.ceil(Date.now() / 1000) * 1000 + 6000);
    // In the reader's zone, as the browser has it.
    const inBerlin = await page.evaluate((at) => local(new Date(at)).replace(" ", "T"), end.getTime());
    await page.getByRole("dialog").getByLabel("Ends by itself").fill(inBerlin);
    await page.getByRole("button", { name: "Freeze Cust_1" }).click();
    await page.getByText("Frozen at revision").waitFor();
    assert.equal(await passes(), false);
    const { restrictions } = await api(told.console, "GET", "/v1/customers/Cust_1");
    assert.equal(Date.parse(restrictions[0].until), end.getTime());
    // Nobody touches the page.
    await page.getByText("Nothing restricts this customer.").first().waitFor();
    await button(page, "Freeze").waitFor();
    assert.ok(Date.now() >= end.getTime());
    assert.equal(await passes(), true);
  },

  async refused() {
    const page = await open();
    await signIn(page, "support");
    await customerPage(page);
    await button(page, "Deactivate").click();
    await page.getByRole("dialog").getByLabel("Notes").fill("They asked by phone");
    await page.getByRole("button", { name: "Deactivate Cust_1" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS").waitFor();
    assert.equal(await dialog.getByLabel("Notes").inputValue(), "They asked by phone");
    assert.equal(await passes(), true);
  },

  async viewer() {
    const page = await open();
    await signIn(page, "viewer");
    await customerPage(page);
    for (const name of ["Disable", "Freeze", "Deactivate"]) {
      assert.equal(await button(page, name).count(), 0, name);
    }
    const status = await page.evaluate(async () => {
      const csrf = document.querySelector("input[name=csrf]").value;
      const body = new URLSearchParams({ csrf, once: "console-forged", verb: "disable" });
      return (await fetch(location.pathname, { method: "POST", body })).status;
    });
    assert.equal(status, 403);
    // Another site makes somebody's browser send a form who may do it.
    const victim = await open();
    await signIn(victim, "support");
    const evil = new URL(told.console);
    evil.hostname = "localhost";
    await victim.route(`${evil.origin}/**`, (route) => route.fulfill({
      contentType: "text/html",
      body: `<form method="post" action="${told.console}/customers/Cust_1">
             <input name="verb" value="disable"><button>Win</button></form>`,
    }));
    await victim.goto(evil.origin);
    const [answer] = await Promise.all([
      victim.waitForResponse((it) => it.request().method() === "POST"),
      victim.getByRole("button").click(),
    ]);
    // The cookie is not even sent along: it leads to the form for signing in, which finds a session
    // and goes on to the page. Nothing is done.
    assert.equal(answer.status(), 303);
    assert.match(answer.headers().location, /^\/sign-in/);
    await victim.getByRole("heading", { name: "Cust_1" }).waitFor();
    await button(victim, "Disable").waitFor();
    assert.equal(await passes(), true);
    // And whoever comes back by a link of another site goes on where it leads.
    await victim.goto("about:blank");
    await victim.route(`${evil.origin}/**`, (route) => route.fulfill({
      contentType: "text/html",
      body: `<a href="${told.console}/customers/Cust_1">A ticket</a>`,
    }));
    await victim.goto(evil.origin);
    await victim.getByRole("link").click();
    await victim.getByRole("heading", { name: "Cust_1" }).waitFor();
  },

  async notes() {
    const page = await open();
    await signIn(page, "support");
    await customerPage(page);
    await button(page, "Disable").click();
    const notes = "<script>window.wasRun = true</script><img src=x onerror=\"wasRun=true\"> notes-marker-51c0";
    const urls = [];
    page.on("request", (request) => urls.push(request.url()));
    await page.getByRole("dialog").getByLabel("Notes").fill(notes);
    await page.getByRole("button", { name: "Disable Cust_1" }).click();
    await page.getByText("Disabled at revision").waitFor();
    assert.equal(await page.getByText(notes, { exact: true }).count(), 2);
    await page.goto(`${told.console}/review`);
    await page.getByText(notes, { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => window.wasRun), undefined);
    assert.ok(urls.every((url) => !url.includes("notes-marker")));
  },

  async live() {
    const page = await open();
    await signIn(page, "viewer");
    await page.getByRole("link", { name: "Live", exact: true }).click();
    await page.getByText("Watching.").waitFor();
    const begun = Date.now();
    await api(told.other, "POST", "/v1/customers/Cust_1/disable");
    await page.locator("#told tr", { hasText: "Cust_1" }).waitFor();
    const took = Date.now() - begun;
    assert.ok(took < 1000, `${took} ms`);
    // Refused checks show in the table and are drawn.
    const row = page.locator("[data-reason=customer_disabled]");
    const asking = setInterval(() => passes().catch(() => {}), 20);
    await row.filter({ has: page.locator("[data-rate]", { hasText: /^[1-9]/ }) }).waitFor();
    await page.locator("#chart path").waitFor();
    clearInterval(asking);
    await page.locator("[data-tile=freshness]", { hasText: "Fresh" }).waitFor();
    console.log(`a change of another instance was on the live page within ${took} ms`);
  },

  async review() {
    const page = await open();
    await signIn(page, "support");
    await page.getByRole("link", { name: "Review", exact: true }).click();
    const bulk = page.locator("button[data-verb]");
    assert.equal(await bulk.isDisabled(), true);
    await page.getByLabel("Pick all").check();
    await page.getByLabel("Pick many_0 of operator").uncheck();
    assert.equal(await bulk.innerText(), "Enable 4");
    page.once("dialog", (dialog) => dialog.accept());
    await bulk.click();
    await page.getByText("Enabled: 4 customers.").waitFor();
    assert.equal(await passes("POST", "many_1"), true);
    assert.equal(await passes("POST", "many_0"), false);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Export as CSV" }).click(),
    ]);
    const written = readFileSync(await download.path(), "utf8").trim().split("\r\n");
    assert.equal(written.length, 2);
    assert.ok(written[1].startsWith('"many_0"'));
  },

  async pages() {
    await lookAtAll({
      customers: "/customers",
      found: "/customers?status=disabled",
      customer: "/customers/Cust_acme?method=POST&path=/orders",
      review: "/review",
      live: "/live",
      trouble: "/trouble",
      missing: "/customers/nobody",
    });
  },

  async troubled() {
    await lookAtAll({
      "troubled-customer": "/customers/Cust_acme",
      "troubled-live": "/live",
      "troubled-trouble": "/trouble",
    });
  },
};

// Every page by day and by night, wide and narrow: axe finds nothing serious, nothing is wider than
// the screen, nothing jumps; and a picture of it.
async function lookAtAll(pages) {
  const customers = ["Cust_acme", "Cust_globex", "nobody"];
  let turn = 0;
  const asking = setInterval(() => {
    turn += 1;
    const share = 1 + Math.sin(turn / 40) / 2;
    if (turn % 2 < share) passes("POST", customers[0]).catch(() => {});
    if (turn % 4 === 0) passes("POST", customers[1]).catch(() => {});
    if (turn % 9 === 0) passes("POST", customers[2]).catch(() => {});
  }, 20);
  let looked = 0;
  const sizes = { wide: { width: 1280, height: 860 }, narrow: { width: 390, height: 844 } };
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(sizes)) {
      const page = await open({ colorScheme, viewport });
      await page.addInitScript(() => {
        window.shifted = 0;
        new PerformanceObserver((list) => {
          for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
        }).observe({ type: "layout-shift", buffered: true });
      });
      const look = async (name) => {
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        for (const { id, impact, nodes } of violations) {
          if (!["serious", "critical"].includes(impact)) continue;
          const where = nodes.map((node) => node.html).join(" ; ");
          broken.push(`${name} (${colorScheme}, ${size}): axe ${id}: ${where}`);
        }
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(beyond <= 0, `${name} (${size}) is ${beyond} pixels too wide`);
        const shifted = await page.evaluate(() => window.shifted);
        assert.ok(shifted < 0.02, `${name} (${size}) jumps by ${shifted}`);
        const path = `${told.pictures}/${name}-${colorScheme}-${size}.png`;
        await page.screenshot({ path, caret: "initial" });
        looked += 1;
      };
      await page.goto(`${told.console}/sign-in`);
      await look("sign-in");
      await signIn(page, "admin");
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(told.console + path);
        if (path === "/live") await somethingToSee(page, size === "wide" ? 40 : 3);
        await look(name);
        if (name === "customer") {
          await button(page, "Unfreeze for billabear").waitFor();
          await button(page, "Enable").click();
          await look("dialog");
          await page.keyboard.press("Escape");
          assert.equal(await page.getByRole("dialog").count(), 0);
        }
      }
      await page.context().close();
    }
  }
  clearInterval(asking);
  console.log(`axe looked ${looked} times, by day and by night, wide and narrow`);
}

// Changes of another instance, and so many seconds of refused checks.
async function somethingToSee(page, seconds) {
  await page.getByText("Watching.").waitFor();
  await api(told.other, "POST", "/v1/customers/Cust_n05/freeze", { reason: "dispute" });
  await api(told.other, "POST", "/v1/customers/Cust_n05/unfreeze");
  await page.locator("#told tr").nth(1).waitFor();
  await page.waitForFunction(
    (points) => [...document.querySelectorAll("#chart path")].some((it) => it.getAttribute("d").split("L").length > points),
    seconds,
    { timeout: 60_000 },
  );
}

try {
  await parts[process.argv[2]]();
  assert.deepEqual(broken, []);
  console.log(`${process.argv[2]}: 0 violations of the policy, 0 errors of scripts`);
} finally {
  await browser.close();
}
