// bittorrent-tracker and webtorrent import these names when they load. Damselfly never opens a WebRTC
// connection, and the real package needs a native addon that is downloaded at install time.
export class RTCPeerConnection {}
export class RTCSessionDescription {}
export class RTCIceCandidate {}
export default { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate };
