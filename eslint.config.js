import tseslint from 'typescript-eslint';

// What touches the outside (clock, randomness, files, sockets) goes through a seam with an in-memory twin, so
// that whole clusters run deterministically in one process. Only these adapters may reach it directly.
const ADAPTERS = [
  'lib/runtime/system-*.ts',
  'lib/store/disk/node-disk.ts',
  'lib/store/key-value/level-*.ts',
  'lib/transfer/http/*.ts',
  'lib/transfer/link/ws-*.ts',
  'lib/discovery/tracker/*.ts',
  'lib/origin/http/*.ts',
  'lib/security/system/*.ts',
  'lib/objects/s3/*.ts',
  'lib/observe/admin-server.ts',
  'lib/observe/connection-limits.ts',
  'lib/observe/lazy-server.ts',
  'lib/config/load*.ts',
  'lib/config/networks.ts',
  'registry-proxy/**/*.ts',
  'tracker/**/*.ts',
  'supernode/**/*.ts',
  'damselfly/**/*.ts',
  'lib/command/**/*.ts',
  'dfget/**/*.ts',
  'bench/live/**/*.ts',
  'bench/demo/**/*.ts',
  'bench/fixtures/**/*.ts',
  'bench/micro/**/*.ts',
  'bench/simulate/main.ts',
  'bench/trace/main.ts',
  'scripts/**/*.ts',
  'test/**/*.ts',
];

const OUTSIDE_GLOBALS = ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'WebSocket'].map((name) => ({
  name,
  message: 'Use the Clock (lib/runtime) or the seam that owns this; see CONTRIBUTING.md, "Seams".',
}));
const OUTSIDE_PROPERTIES = [
  ['Date', 'now'],
  ['Math', 'random'],
  ['AbortSignal', 'timeout'],
  ['performance', 'now'],
].map(([object, property]) => ({ object, property, message: 'Use Clock or Rng from lib/runtime.' }));
const OUTSIDE_MODULES = [
  'fs',
  'fs/promises',
  'net',
  'tls',
  'http',
  'https',
  'http2',
  'dgram',
  'timers',
  'timers/promises',
].map((name) => ({
  name: `node:${name}`,
  message: 'Only an adapter may import this; see CONTRIBUTING.md, "Seams".',
}));

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'stubs/', '*.js', '**/*.cjs'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', 400],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      'no-console': 'error',
      eqeqeq: 'error',
      curly: ['error', 'multi-line'],
    },
  },
  {
    files: [
      'lib/**/*.ts',
      'registry-proxy/**/*.ts',
      'tracker/**/*.ts',
      'supernode/**/*.ts',
      'damselfly/**/*.ts',
      'dfget/**/*.ts',
      'bench/**/*.ts',
    ],
    ignores: ADAPTERS,
    rules: {
      'no-restricted-globals': ['error', ...OUTSIDE_GLOBALS],
      'no-restricted-properties': ['error', ...OUTSIDE_PROPERTIES],
      'no-restricted-imports': ['error', { paths: OUTSIDE_MODULES }],
    },
  },
  {
    // tap runs a test whether or not its promise is awaited, and reports it.
    files: ['test/**/*.ts'],
    rules: { '@typescript-eslint/no-floating-promises': 'off' },
  },
);
