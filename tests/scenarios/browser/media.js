// What both telephones have in common.
export const CONSTRAINTS = { audio: true, video: { width: 160, height: 120, frameRate: 10 } };
export const PEER_CONNECTION = { iceServers: [] };

// The test program puts `told` into the page before anything runs in it.
export function tell(event, details = {}) {
  window.told(JSON.stringify({ event, ...details }));
}

// Packets and bytes that came in, by kind: { audio: { packets, bytes }, video: ... }.
export async function describeMedia(connection) {
  const found = {};
  for (const entry of (await connection.getStats()).values()) {
    if (entry.type === "inbound-rtp") found[entry.kind] = { packets: entry.packetsReceived, bytes: entry.bytesReceived };
  }
  return found;
}
