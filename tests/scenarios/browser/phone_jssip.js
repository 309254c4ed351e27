// A telephone made of JsSIP.
import JsSIP from "jssip";
import { describeMedia, CONSTRAINTS, PEER_CONNECTION, tell } from "./media.js";

let agent;
let session;

function follow(fresh) {
  session = fresh;
  session.on("confirmed", () => tell("established"));
  session.on("ended", ({ originator, cause }) => tell("ended", { originator, cause }));
  session.on("failed", ({ originator, cause }) => tell("failed", { originator, cause }));
}

window.phone = {
  start({ server, uri, password }) {
    agent = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(server)], uri, password, session_timers: false });
    agent.on("registered", () => tell("registered"));
    agent.on("unregistered", () => tell("unregistered"));
    agent.on("registrationFailed", ({ cause, response }) => tell("refused", { cause, status: response?.status_code }));
    agent.on("newRTCSession", ({ originator, session: fresh, request }) => {
      follow(fresh);
      if (originator === "remote") tell("incoming", { from: request.from.uri.toString() });
    });
    agent.on("newMessage", ({ originator, message, request }) => {
      if (originator === "remote") tell("message", { text: request.body, from: request.from.uri.toString() });
    });
    agent.start();
  },
  call(uri) {
    agent.call(uri, { mediaConstraints: CONSTRAINTS, pcConfig: PEER_CONNECTION });
  },
  answer() {
    session.answer({ mediaConstraints: CONSTRAINTS, pcConfig: PEER_CONNECTION });
  },
  hangUp() {
    session.terminate();
  },
  message({ uri, text }) {
    const eventHandlers = {
      succeeded: ({ response }) => tell("sent", { status: response.status_code }),
      failed: ({ response, cause }) => tell("sent", { status: response?.status_code, cause }),
    };
    agent.sendMessage(uri, text, { eventHandlers });
  },
  unregister() {
    agent.unregister();
  },
  media() {
    return describeMedia(session.connection);
  },
};
tell("loaded");
