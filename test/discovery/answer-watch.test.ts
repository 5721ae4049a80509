import t from 'tap';
import { AnswerWatch } from '../../lib/discovery/tracker/answer-watch.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';

function setup() {
  const clock = new FakeClock();
  const told: string[] = [];
  const watch = new AnswerWatch(clock, {
    late: () => void told.push('late'),
    probe: () => void told.push('probe'),
    doubt: () => void told.push('doubt'),
    giveUp: () => void told.push('give up'),
  });
  const pass = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  return { pass, told, watch };
}

t.test('who leaves a question without an answer is asked, doubted, and given up', async (t) => {
  const { pass, told, watch } = setup();
  watch.asked();
  pass(1000);
  t.same(told, ['probe', 'late']);
  pass(1000);
  t.same(told, ['probe', 'late', 'doubt']);
  pass(3000);
  t.same(told, ['probe', 'late', 'doubt', 'give up']);
});

t.test('a question right after the word that it is there is a new one', async (t) => {
  const { pass, told, watch } = setup();
  watch.check();
  pass(10);
  watch.heard();
  watch.asked();
  pass(2000);
  t.same(told, ['probe', 'probe', 'late', 'doubt']);
});
