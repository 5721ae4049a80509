import { startS3 } from './s3-server.ts';

// Two arguments: the address and the port to listen on.
const [host = '', port] = process.argv.slice(2);
const { url } = await startS3({ host, port: Number(port) });
process.stdout.write(`${JSON.stringify({ process: 's3', url })}\n`);
