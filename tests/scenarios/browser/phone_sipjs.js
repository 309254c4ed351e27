// A telephone made of SIP.js.
import { Inviter, Messager, Registerer, RegistererState, SessionState, UserAgent } from "sip.js";
import { describeMedia, CONSTRAINTS, PEER_CONNECTION, tell } from "./media.js";

const MEDIA = { sessionDescriptionHandlerOptions: { constraints: CONSTRAINTS } };
let agent;
let registerer;
let session;

function follow(fresh) {
  session = fresh;
  session.stateChange.addListener((state) => {
    if (state === SessionState.Established) tell("established");
    if (state === SessionState.Terminated) tell("ended");
  });
}

window.phone = {
  async start({ server, uri, password }) {
    const address = UserAgent.makeURI(uri);
    agent = new UserAgent({
      uri: address,
      transportOptions: { server },
      authorizationUsername: address.user,
      authorizationPassword: password,
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: PEER_CONNECTION },
      logLevel: "warn",
      delegate: {
        onInvite(invitation) {
          follow(invitation);
          tell("incoming", { from: invitation.remoteIdentity.uri.toString() });
        },
        async onMessage(message) {
          await message.accept();
          tell("message", { text: message.request.body, from: message.request.from.uri.toString() });
        },
      },
    });
    await agent.start();
    registerer = new Registerer(agent);
    registerer.stateChange.addListener((state) => {
      if (state === RegistererState.Registered) tell("registered");
      if (state === RegistererState.Unregistered) tell("unregistered");
    });
    const onReject = ({ message }) => tell("refused", { status: message.statusCode });
    await registerer.register({ requestDelegate: { onReject } });
  },
  async call(uri) {
    follow(new Inviter(agent, UserAgent.makeURI(uri), MEDIA));
    const onReject = ({ message }) => tell("failed", { status: message.statusCode, cause: message.reasonPhrase });
    await session.invite({ requestDelegate: { onReject } });
  },
  async answer() {
    await session.accept(MEDIA);
  },
  async hangUp() {
    if (session.state === SessionState.Established) await session.bye();
    else if (session instanceof Inviter) await session.cancel();
    else await session.reject();
  },
  async message({ uri, text }) {
    const requestDelegate = {
      onAccept: ({ message }) => tell("sent", { status: message.statusCode }),
      onReject: ({ message }) => tell("sent", { status: message.statusCode }),
    };
    await new Messager(agent, UserAgent.makeURI(uri), text).message({ requestDelegate });
  },
  async unregister() {
    await registerer.unregister();
  },
  media() {
    return describeMedia(session.sessionDescriptionHandler.peerConnection);
  },
};
tell("loaded");
