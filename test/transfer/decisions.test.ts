import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Action, ActionBuffer } from '../../lib/swarm/actions.ts';
import { Decisions } from '../../lib/transfer/decisions.ts';

/** Decides one cancellation for each number that it is told. */
class Core {
  readonly actions = new ActionBuffer();
  tell(number: number): void {
    this.actions.push(Action.cancel, -1, -1, -1, number);
  }
}

t.test('events that carrying out brings are decided at once, and carried out in order', async (t) => {
  const done: number[] = [];
  const decisions = new Decisions(new Core(), new FakeClock(), (actions, at) => {
    const number = actions.request[at] ?? -1;
    done.push(number);
    if (number === 1) {
      decisions.decide((core) => core.tell(3));
      t.same(done, [1], 'not from inside');
    }
  });
  decisions.decide((core) => {
    core.tell(1);
    core.tell(2);
  });
  t.same(done, [1, 2, 3]);
  t.equal(decisions.core.actions.length, 0);
});

t.test('one action that fails stops none of the later decisions', async (t) => {
  const done: number[] = [];
  const decisions = new Decisions(new Core(), new FakeClock(), (actions, at) => {
    const number = actions.request[at] ?? -1;
    if (number === 1) throw new Error('no');
    done.push(number);
  });
  t.throws(() => decisions.decide((core) => core.tell(1)), /no/);
  decisions.decide((core) => core.tell(2));
  t.same(done, [2]);
});
