// What a person does on the pages in Chromium, by the words that they read.
import assert from "node:assert/strict";

import { closeWindow, openWindow } from "./browsers.mjs";

// Opens a window with a session, whose members may be given, and closes it in the end.
export async function inWindow(browser, gateway, { wish, ...options }, does) {
  const session = await gateway.session(wish);
  const window = await openWindow(browser, gateway, { session, ...options });
  await does(window.page, { session, ...window });
  await closeWindow(window);
}

export function press(page, name) {
  return page.getByRole("button", { name, exact: true }).click();
}

export function follow(page, name) {
  return page.getByRole("link", { name, exact: true }).first().click();
}

// Waits for a page by its heading.
export async function heading(page, name) {
  const wanted = page.getByRole("heading", { level: 1, name, exact: true });
  await wanted.waitFor().catch(async () => assert.equal(await page.innerText("main"), name));
}

// Fills the form of a new key for the test environment.
export async function fill(page, gateway, name, scope = "tickets:read") {
  await page.goto(`${gateway.origin}/keys/new`);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("checkbox", { name: scope }).check();
}

// Makes a key, and returns its text.
export async function make(page, gateway, name) {
  await fill(page, gateway, name);
  await press(page, "Create key");
  await heading(page, "Your API key");
  return page.locator("#new-key").textContent();
}
