'use strict';
// Node 24 runs Damselfly: the one that runs this file when it is new enough, else the one that comes with the package.
const { spawn } = require('node:child_process');
const { dirname, join } = require('node:path');
const { pathToFileURL } = require('node:url');

const LEAST_MAJOR = 24;
/**
 * Those that others send; what a terminal sends, it sends to the child too.
 * @type {NodeJS.Signals[]}
 */
const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];
/** @type {NodeJS.Signals[]} */
const OF_TERMINALS = ['SIGINT', 'SIGQUIT'];

function bundledNode() {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node');
  } catch {
    process.stderr.write(
      `damselfly needs Node ${LEAST_MAJOR} or newer: this is ${process.version}, and the package ${name}, which brings one, is not installed\n`,
    );
    process.exit(1);
  }
}

/** Sockets that systemd gave us are for the child, whose process id nobody knows beforehand. */
function inherited() {
  const { LISTEN_FDS, LISTEN_PID } = process.env;
  const count = LISTEN_PID === String(process.pid) ? Number(LISTEN_FDS) || 0 : 0;
  const fds = Array.from({ length: count }, (_, index) => 3 + index);
  return { fds, env: count === 0 ? process.env : { ...process.env, LISTEN_PID: '' } };
}

/** @param {'damselfly' | 'dfget'} name */
exports.launch = (name) => {
  const main = join(__dirname, '..', 'lib', `${name}.mjs`);
  if (Number(process.versions.node.split('.')[0]) >= LEAST_MAJOR) {
    return void import(pathToFileURL(main).href);
  }
  const { env: given, fds } = inherited();
  // Memory for pieces goes back to the system when it is given back: by itself glibc keeps what it has once taken.
  const env = { MALLOC_MMAP_THRESHOLD_: '131072', ...given };
  // Spent buffers of an image that passes through a command are collected early.
  const early = name === 'dfget' && process.argv[2] !== 'daemon' ? ['--max-semi-space-size=1'] : [];
  const args = [...early, '--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)];
  const child = spawn(bundledNode(), args, { stdio: ['inherit', 'inherit', 'inherit', ...fds], env });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  for (const signal of OF_TERMINALS) {
    process.on(signal, () => {
      if (!process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`damselfly: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
};
