// How a person comes from the product to the pages, and why the cookie of the session may be as
// strict as it is. Cookies and redirects differ between browsers, so both are asked.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { InChromium, InFirefox } from "./browsers.mjs";
import { Gateway } from "./gateway.mjs";

// The page of the product that mints a session and redirects to its link.
const keysOf = (more = {}) => `/keys?${new URLSearchParams({ with: JSON.stringify(more) })}`;

for (const In of [InChromium, InFirefox]) {
  for (const javaScriptEnabled of [true, false]) {
    describe(`in ${In.name} ${javaScriptEnabled ? "with" : "without"} scripts`, () => {
      let browser;
      before(async () => {
        browser = await In.start({ javaScriptEnabled });
      });
      after(async () => {
        await browser?.close();
      });

      // Has somebody do something in a window of their own. Each has a gateway of their own too,
      // because openings are counted by network, and all come from this machine.
      const somebody = (name, does) => test(name, async () => {
        const gateway = await Gateway.start();
        try {
          const person = await In.arrive(browser, gateway, { javaScriptEnabled });
          await does(person, gateway);
          await person.leave();
        } finally {
          await gateway.close();
        }
      });

      if (javaScriptEnabled) withScripts(somebody);
      else withoutScripts(somebody);
    });
  }
}

// Follows a link of the product to `to`. What follows a click of a person is another request than
// that of an address that was typed: only the former comes from another site.
async function follow(person, gateway, to) {
  await person.visit(`${gateway.home}/settings?${new URLSearchParams({ to })}`);
  await person.press("API keys");
}

function withScripts(somebody) {
  somebody("a redirect of the product opens the session by itself", async (person, gateway) => {
    await follow(person, gateway, keysOf({ path: "/keys/new" }));
    await person.arrives("/keys/new", "New API key");
    // The strict cookie is sent with the next page, with a reload and with an address typed.
    await person.press("API Keys");
    await person.arrives("/keys", "API Keys");
    await person.page.reload();
    await person.arrives("/keys", "API Keys");
    await person.visit(`${gateway.origin}/audit`);
    await person.arrives("/audit", "Audit log");
  });

  somebody("a link that was used says so, and the session stays", async (person, gateway) => {
    const { link } = await gateway.mint();
    await person.visit(link);
    await person.arrives("/keys", "API Keys");
    await person.visit(link);
    const { pathname, search } = new URL(link);
    await person.arrives(pathname + search, "This link no longer works");
    await person.visit(`${gateway.origin}/keys`);
    await person.arrives("/keys", "API Keys");
  });

  somebody("a link for somebody else waits for a click", async (person, gateway) => {
    await follow(person, gateway, keysOf());
    await person.arrives("/keys", "API Keys");
    const other = { organization: "org_other", actor: { id: "user_9", name: "Kim Roe" } };
    await follow(person, gateway, keysOf(other));
    await person.press("Stay in the session that is open");
    await person.arrives("/keys", "API Keys");
    assert.match(await person.text(".viewer"), /org_acme\s+as Sam Doe/);
  });

  somebody("a link of another site finds the open session", async (person, gateway) => {
    await person.visit((await gateway.mint()).link);
    await person.arrives("/keys", "API Keys");
    await follow(person, gateway, `${gateway.origin}/keys/new?from=mail`);
    await person.arrives("/keys/new?from=mail", "New API key");
  });

  somebody("a link of another site says that there is no session", async (person, gateway) => {
    await follow(person, gateway, `${gateway.origin}/keys/new`);
    await person.arrives("/keys/new", "Your session has ended");
  });

  somebody("a key is made, and revoked with its name typed", async (person, gateway) => {
    await follow(person, gateway, keysOf({ path: "/keys/new" }));
    await person.arrives("/keys/new", "New API key");
    await person.fill("#name", "Made here");
    await person.tick("[name=scope][value='tickets:read']");
    await person.press("Create key");
    await person.arrives("/keys", "Your API key");
    const key = await person.text("#new-key");
    assert.equal(await gateway.tickets(key), 200);
    await person.press("I have stored it");
    await person.press("Revoke");
    await person.fill("#confirm", "Made here");
    await person.press("Revoke key");
    assert.match(await person.waitFor(".notice"), /^The key is revoked\./);
    assert.equal(await gateway.tickets(key), 401);
  });
}

function withoutScripts(somebody) {
  somebody("a click opens the session, and a link finds it", async (person, gateway) => {
    await follow(person, gateway, keysOf());
    await person.press("Continue");
    await person.arrives("/keys", "API Keys");
    await person.page.reload();
    await person.arrives("/keys", "API Keys");
    await follow(person, gateway, `${gateway.origin}/keys/new`);
    await person.arrives("/keys/new", "New API key");
  });
}
