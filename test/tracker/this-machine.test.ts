import t from 'tap';
import { comesFromThisMachine } from '../../tracker/this-machine.ts';

const HERE = { host: '127.0.0.1:8401' };

t.test('directly from loopback by a local name', async (t) => {
  for (const host of ['localhost', 'LOCALHOST:8401', '127.0.0.1:8401', '127.1.2.3', '[::1]:8401']) {
    t.equal(comesFromThisMachine({ headers: { host }, remoteAddress: '127.0.0.1' }), true, host);
  }
  for (const remoteAddress of ['127.0.0.2', '::1', '::ffff:127.0.0.1']) {
    t.equal(comesFromThisMachine({ headers: HERE, remoteAddress }), true, remoteAddress);
  }
});

t.test('not from elsewhere, by a name that leads here, or through a proxy', async (t) => {
  for (const remoteAddress of ['10.0.0.7', '::ffff:10.0.0.7', undefined]) {
    t.equal(comesFromThisMachine({ headers: HERE, remoteAddress }), false, String(remoteAddress));
  }
  for (const host of ['evil.test:8401', '127.0.0.1.evil.test', 'localhost.evil.test', undefined]) {
    t.equal(comesFromThisMachine({ headers: { host }, remoteAddress: '127.0.0.1' }), false, String(host));
  }
  for (const name of ['forwarded', 'x-forwarded-for', 'x-real-ip']) {
    const headers = { ...HERE, [name]: '10.0.0.7' };
    t.equal(comesFromThisMachine({ headers, remoteAddress: '127.0.0.1' }), false, name);
  }
});
