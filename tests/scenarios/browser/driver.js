// Runs Chromium for the tests. Commands come as lines of JSON on standard input, answers and what the pages tell go
// out the same way. Each page is a telephone: see phone_jssip.js and phone_sipjs.js.
import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--ignore-certificate-errors",
  "--allow-loopback-in-peer-connection",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const pages = new Map();

async function serve(request, response) {
  const name = request.url.slice(1);
  if (/^phone_\w+\.bundle\.js$/.test(name)) {
    response.writeHead(200, { "Content-Type": "text/javascript" });
    response.end(await readFile(new URL(name, import.meta.url)));
  } else if (/^phone_\w+$/.test(name)) {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(`<!doctype html><meta charset="utf-8"><title>${name}</title><script src="/${name}.bundle.js"></script>`);
  } else {
    response.writeHead(name === "favicon.ico" ? 204 : 404);
    response.end();
  }
}

async function open(context, origin, { page: name, kind }) {
  const page = await context.newPage();
  pages.set(name, page);
  page.on("console", (message) => say({ page: name, event: "console", text: message.text() }));
  page.on("pageerror", (error) => say({ page: name, event: "error", text: String(error) }));
  await page.exposeFunction("told", (text) => say({ page: name, ...JSON.parse(text) }));
  await page.goto(`${origin}/phone_${kind}`);
}

// Run in a page: of what others offer, only the paths through a relay are taken.
function takeRelayedPathsOnly() {
  const given = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const kept = description.sdp.split("\r\n").filter((line) => !/^a=candidate:/.test(line) || / typ relay/.test(line));
    return given.call(this, { type: description.type, sdp: kept.join("\r\n") });
  };
}

async function obey(context, origin, command) {
  if (command.do === "open") return open(context, origin, command);
  const page = pages.get(command.page);
  if (command.do === "close") {
    pages.delete(command.page);
    return page.close();
  }
  if (command.do === "takeRelayedPathsOnly") return page.evaluate(takeRelayedPathsOnly);
  return page.evaluate(([name, argument]) => window.phone[name](argument), [command.do, command.argument]);
}

const http = createServer(serve);
await new Promise((ready) => http.listen(0, "127.0.0.1", ready));
const origin = `http://localhost:${http.address().port}`;
const profile = await mkdtemp(join(tmpdir(), "scenario-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.argv[2],
  args: FLAGS,
  permissions: ["microphone", "camera"],
});
say({ event: "ready" });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  obey(context, origin, command).then(
    (result) => say({ answer: command.number, result: result ?? null }),
    (error) => say({ answer: command.number, error: String(error) }),
  );
}
await context.close();
await rm(profile, { recursive: true, force: true });
http.close();
