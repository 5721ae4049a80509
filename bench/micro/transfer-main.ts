/** One side of a transfer between processes; started by the rows of `npm run bench:data` (transfer/part.ts). */
import { capabilityCrowd } from './capability-crowd.ts';
import { duplexNode, memorySource, sink } from './transfer/duplex.ts';
import { naiveReceiver } from './transfer/naive.ts';
import { answerQuestions, type Methods } from './transfer/part.ts';
import { productReceiver, productSender } from './transfer/product.ts';
import { rawReceiver, rawSender } from './transfer/raw-frames.ts';

const ROLES: Readonly<Record<string, Methods>> = {
  'product-sender': productSender,
  'product-receiver': productReceiver,
  'raw-sender': rawSender,
  'raw-receiver': rawReceiver,
  'naive-receiver': naiveReceiver,
  'duplex-node': duplexNode,
  'memory-source': memorySource,
  sink,
  crowd: capabilityCrowd,
};

const methods = ROLES[process.argv[2] ?? ''];
if (methods === undefined) throw new Error(`expected one of ${Object.keys(ROLES).join(', ')}`);
answerQuestions(methods);
