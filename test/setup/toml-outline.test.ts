import t from 'tap';
import { tomlOutline } from '../../dfget/setup/toml-outline.ts';

const paths = (text: string): string[] =>
  tomlOutline(text).map((item) =>
    item.kind === 'header' ? `[${item.path.join(' ')}]` : item.path.join(' '),
  );

t.test('tables and values are found by their whole path', async (t) => {
  const text = [
    'version = 2 # the second',
    '[plugins]',
    '  [plugins."io.containerd.grpc.v1.cri".registry] # here',
    "    'config_path' = '/etc/certs.d'",
    '[[registry]]',
    'a . "b\\u002ec" = 1979-05-27 07:32:00Z',
    '',
  ].join('\n');
  t.same(paths(text), [
    'version',
    '[plugins]',
    '[plugins io.containerd.grpc.v1.cri registry]',
    'plugins io.containerd.grpc.v1.cri registry config_path',
    '[registry]',
    'registry a b.c',
  ]);
});

t.test('what only looks like a table is not taken for one', async (t) => {
  const text =
    'a = """\n[no]\n"""" \nb = \'\'\'\n[[no]]\n\'\'\'\nc = [ # ]\n  "]", [1, 2,], { d = "}", e.f = 1 },\n] # [no]\ng = \'[no]\'\n';
  t.same(paths(text), ['a', 'b', 'c', 'g']);
});

t.test('a value is what is written, to the letter', async (t) => {
  const values = tomlOutline('a = [ "x", # y\r\n]\r\nb=true').map(
    (item) => item.kind === 'value' && item.text,
  );
  t.same(values, ['[ "x", # y\r\n]', 'true']);
});

t.test('what is no TOML is refused, by line', async (t) => {
  for (const [text, line] of [
    ['a = 1\nb', 2],
    ['a = "x', 1],
    ['a = [1', 1],
    ['\n\n[a', 3],
    ['a = 1 b = 2', 1],
    ['a = [1}', 1],
    ['{"json": true}', 1],
  ] as const) {
    t.throws(() => tomlOutline(text), { code: 'SETUP_REFUSED', message: `line ${line} ` }, text);
  }
});
