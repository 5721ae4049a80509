import { once } from 'node:events';
import { connect } from 'node:http2';
import { createConnection } from 'node:net';

/** `PullImage` of the CRI (runtime.v1), as the kubelet asks it. @returns the reference of the image @throws Error in the runtime's words */
export async function criPullImage(
  socket: string,
  image: string,
  credentials?: { readonly user: string; readonly password: string },
): Promise<string> {
  const session = connect('http://localhost', { createConnection: () => createConnection(socket) });
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/runtime.v1.ImageService/PullImage',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let status: string | undefined;
    let message = '';
    const read = (headers: Record<string, unknown>): void => {
      status = (headers['grpc-status'] as string | undefined) ?? status;
      message = decodeURIComponent((headers['grpc-message'] as string | undefined) ?? message);
    };
    stream.on('response', read).on('trailers', read);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    // PullImageRequest { image = 1: ImageSpec { image = 1 }, auth = 2: AuthConfig { username = 1, password = 2 } }
    const spec = field(1, field(1, Buffer.from(image)));
    const auth = credentials === undefined ? Buffer.alloc(0) : field(2, authConfig(credentials));
    stream.end(frame(Buffer.concat([spec, auth])));
    await once(stream, 'close');
    if (status !== '0') throw new Error(`CRI ${status ?? 'without status'}: ${message}`);
    // PullImageResponse { image_ref = 1 }, short enough for a length of one byte
    return Buffer.concat(chunks)
      .subarray(5 + 2)
      .toString();
  } finally {
    session.destroy();
  }
}

function authConfig({ user, password }: { readonly user: string; readonly password: string }): Buffer {
  return Buffer.concat([field(1, Buffer.from(user)), field(2, Buffer.from(password))]);
}

/** A field of protocol buffers that has a length; shorter than 128 bytes. */
function field(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
}

/** A message of gRPC: not compressed, its length, itself. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
