/** To the command, `typetun exec` is as if it were not there: identity, streams, signals, terminal. world.ts draws it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Job, missing } from '../netns/harness.js';
import { mark, parentOf, processes, theSleep } from './processes.js';
import { asUser, INSIDE, noUser, UID } from './user.js';
import { World } from './world.js';

const TIMEOUT_MS = 300_000;
const skip = noUser(['script']) || missing([], ['wireguard-go']);

let world: World;
before(async () => {
  if (!skip) world = await World.make();
});
after(() => world?.close());

describe('typetun exec: the command is as if it had been run without', { skip, timeout: TIMEOUT_MS }, () => {
  it("identity, working directory, environment, limits and groups are the caller's", async () => {
    const env = { EMPTY: '', WORDS: 'two words', NODE_OPTIONS: '--no-warnings' };
    const script =
      'id -u; id -g; pwd; printenv EMPTY WORDS NODE_OPTIONS HOME; ulimit -c; ulimit -n; echo $NODE_CHANNEL_FD';
    const { stdout } = await world.sh(script, { env });
    const [plain = ''] = [(await runPlainly(script, env)).stdout];
    assert.equal(stdout, plain);
    assert.match(stdout, new RegExp(`^${UID}\n${UID}\n`));
  });

  it('a working directory that was deleted, and may not be read', async () => {
    const prepare = `echo above > note; mkdir gone; chown ${UID} gone; chmod 300 gone; cd gone; rmdir ../gone`;
    const script = `readlink /proc/self/cwd; [ -d . ] && ! [ -r . ] && stat -c '%a %u' .; cat ../note; ./no; echo $?`;
    const inGone = { prepare, netns: world.lab.ns('c') };
    const plain = new Job([...asUser(inGone), 'sh', '-c', script]);
    await plain.end(20_000);
    assert.match(plain.stdout, /gone \(deleted\)\n300 \d+\nabove\n127\n$/);
    const { code, stdout } = await world.sh(script, inGone);
    assert.deepEqual([code, stdout], [0, plain.stdout]);
  });

  it('it has the descriptors that the caller left it, and no other', async () => {
    const script = 'ls /proc/self/fd | tr "\\n" " "';
    // What typetun inherits beyond the three streams stays with typetun.
    const plain = new Set((await runPlainly(script, {})).stdout.split(' '));
    const { stdout } = await world.sh(script);
    assert.deepEqual(
      stdout.split(' ').filter((fd) => !plain.has(fd)),
      [],
    );
  });

  it('standard input, output and error are its own', async () => {
    const { stdout, stderr, code } = await world.sh('cat; echo wrong >&2', { input: 'some\0bytes\n' });
    assert.deepEqual([stdout, stderr, code], ['some\0bytes\n', 'wrong\n', 0]);
  });

  it('streams block, as pipes do', async () => {
    const script = 'for fd in 0 1 2; do grep flags /proc/self/fdinfo/$fd 2>&3; done 3>&2';
    assert.equal((await world.sh(script)).stdout, (await runPlainly(script, {})).stdout);
    const pipe = `${INSIDE.typetun} exec ${world.config} head -c 1000000 /dev/zero | { sleep 0.3; wc -c; }`;
    const job = await runPlainly(pipe, {});
    assert.deepEqual([job.stderr, job.stdout], ['', '1000000\n']);
  });

  it('whoever waits for the end of its output waits for the command alone', async () => {
    const job = world.start([world.config, '--', 'sh', '-c', 'echo out; exec >&- 2>&-; sleep 600']);
    await new Promise<void>((resolve) => job.child.stdout?.once('end', resolve));
    assert.equal(job.stdout, 'out\n');
    job.killNow();
    await job.exited;
  });

  const statuses: readonly (readonly [what: string, command: readonly string[], status: number])[] = [
    ['0', ['true'], 0],
    ['its own', ['sh', '-c', 'exit 9'], 9],
    ['255', ['sh', '-c', 'exit 255'], 255],
    ['128 + SIGTERM', ['sh', '-c', 'kill -TERM $$'], 143],
    ['128 + SIGKILL', ['sh', '-c', 'kill -KILL $$'], 137],
    ['127 without such a command', ['no-such-command'], 127],
    ['127 without such a file', ['./no/such/file'], 127],
    ['126 for a file that cannot be run', ['/etc/hosts'], 126],
    ['126 for a directory', ['/etc'], 126],
  ];
  for (const [what, command, status] of statuses) {
    it(`exit status: ${what}`, async () => {
      assert.equal((await world.exec(command)).code, status);
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const) {
    it(`${signal} to typetun alone reaches the command once`, async () => {
      const name = signal.slice(3);
      const script = `trap 'echo got' ${name}; echo ready; for i in $(seq 50); do sleep 0.02; done`;
      const job = world.start([world.config, '--', 'sh', '-c', script]);
      await job.prints('ready');
      job.child.kill(signal);
      assert.equal((await job.end(20_000)).code, 0);
      assert.equal(job.stdout, 'ready\ngot\n');
    });
  }

  it('a signal to the whole process group reaches the command once', async () => {
    for (const signal of ['TERM', 'INT', 'HUP', 'USR1', 'ALRM', 'QUIT']) {
      const script = `trap 'echo got' ${signal}; echo ready; for i in $(seq 50); do sleep 0.02; done`;
      const job = world.start([world.config, '--', 'sh', '-c', `${script} 2>/dev/null`]);
      await job.prints('ready');
      process.kill(-job.child.pid!, `SIG${signal}`);
      assert.equal((await job.end(20_000)).code, 0);
      assert.equal(job.stdout, 'ready\ngot\n', signal);
    }
  });

  it('what the caller ignored, as nohup(1) does, stays ignored, and limits are as they were', async () => {
    const options = { prepare: 'trap "" HUP INT PIPE; ulimit -Sn 200', netns: world.lab.ns('c') };
    const script = 'grep SigIgn /proc/self/status; ulimit -Sn; ulimit -Hn';
    const plain = new Job([...asUser(options), 'sh', '-c', script]);
    await plain.end(20_000);
    assert.match(plain.stdout, /^SigIgn:\s0*1003\n200\n/);
    const job = world.start([world.config, '--', 'sh', '-c', `${script}; echo up; exec sleep 0.5`], options);
    await job.prints('up');
    for (const signal of ['SIGHUP', 'SIGINT'] as const) job.child.kill(signal);
    assert.deepEqual([(await job.end(20_000)).code, job.stdout], [0, `${plain.stdout}up\n`]);
  });

  it('words and variables that are not UTF-8 are handed on byte by byte', async () => {
    const bytes = '\\377 caf\\351 \\303\\251 \\357\\277\\275 \\n x';
    const script = `v=$(printf '${bytes}'); export LATIN="$v" "TEXT=\u00e9"; PROGRAM='printf "%s\\0" "$@" "$LATIN" "$TEXT" | od -c'`;
    const user = asUser({ netns: world.lab.ns('c') });
    const run = (prefix: string): Job =>
      new Job([...user, 'sh', '-c', `${script}; ${prefix} sh -c "$PROGRAM" "$v" "$v" b`]);
    const [plain, job] = [run(''), run(`${INSIDE.typetun} exec ${world.config} --`)];
    await Promise.all([plain.end(20_000), job.end(20_000)]);
    assert.equal(job.stdout, plain.stdout);
    assert.match(plain.stdout, /377/);
  });

  it('its background processes end with it', async () => {
    const seconds = mark();
    const { code } = await world.sh(`sleep ${seconds} & setsid sleep ${seconds} & sleep 0.1; exit 3`);
    assert.equal(code, 3);
    assert.deepEqual(processes(`sleep\0${seconds}`), []);
  });
});

/** Runs a script as the user, without typetun. */
async function runPlainly(script: string, env: NodeJS.ProcessEnv): Promise<Job> {
  const job = new Job([...asUser({ netns: world.lab.ns('c') }), 'sh', '-c', script], env);
  await job.end(20_000);
  return job;
}

describe('typetun exec: a terminal', { skip, timeout: TIMEOUT_MS }, () => {
  /** Types at a shell in a terminal of 33 rows and 99 columns. */
  async function atTerminal(type: (shell: Job, typetun: string) => Promise<void>): Promise<string> {
    const words = [
      ...asUser({ netns: world.lab.ns('c') }),
      'script',
      '-qec',
      'bash --norc --noprofile -i',
      '/dev/null',
    ];
    const shell = new Job(words, { PS1: '$ ', TERM: 'dumb' }, null);
    const typetun = `${INSIDE.typetun} exec ${world.config} --`;
    try {
      shell.child.stdin?.write('stty rows 33 cols 99; bind "set enable-bracketed-paste off"; echo sta""rted\n');
      await shell.prints('started');
      await type(shell, typetun);
      shell.child.stdin?.write('exit\n');
      await shell.end(20_000);
    } finally {
      shell.killNow();
    }
    return shell.output;
  }

  it('Ctrl-Z stops the command and the shell goes on; fg continues it; Ctrl-C ends it with 130', async () => {
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`${typetun} sh -c 'stty size; exec cat'\n`);
      await shell.prints('33 99');
      stdin?.write('line one\n');
      await shell.prints(/line one[\s\S]*line one/);
      stdin?.write('\x1a');
      await shell.prints('Stopped');
      stdin?.write('echo shell is al""ive\n');
      await shell.prints('shell is alive');
      stdin?.write('fg\n');
      await shell.prints(/[$] fg[\s\S]*exec cat'/);
      stdin?.write('line two\n');
      await shell.prints(/line two[\s\S]*line two/);
      stdin?.write('\x03');
      // What is typed before the shell has the terminal again is thrown away.
      await shell.prints(/\^C[\s\S]*[$] $/);
      stdin?.write('echo status=$?\n');
      await shell.prints('status=130');
    });
  });

  it('a shell inside has job control; settings of the terminal stay as the command left them', async () => {
    const seconds = mark();
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`PS1='inner> ' ${typetun} bash --norc --noprofile -i\n`);
      await shell.prints('inner> ');
      stdin?.write(`sleep ${seconds}\n`);
      await theSleep(seconds);
      stdin?.write('\x1a');
      await shell.prints(/Stopped\s+sleep /);
      stdin?.write('kill %1; stty -tostop -echoctl; exit 5\n');
      await shell.prints(/exit 5[\s\S]*[$] $/);
      stdin?.write('echo status=$?; stty -a | grep -o .echoctl\n');
      await shell.prints('status=5');
      await shell.prints(/^-echoctl/m);
    });
  });

  it('Ctrl-C, and SIGINT to typetun alone, each reach the command once', async () => {
    const seconds = mark();
    const output = await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      // Whatever runs in front when a signal comes is killed by Ctrl-C or ends by itself.
      const script = `: ${seconds}; n=; trap "n=x\\$n; echo got-int" INT; echo up""=
        until [ "$n" = xx ]; do sleep 0.1; done; sleep 0.3`;
      stdin?.write(`${typetun} sh -c '${script}'; echo status""=$?\n`);
      await shell.prints('up=');
      stdin?.write('\x03');
      await shell.prints(/got-int\r/);
      const [typetunPid] = processes('exec', seconds).filter(
        (pid) => !processes('exec', seconds).includes(parentOf(pid)),
      );
      process.kill(typetunPid!, 'SIGINT');
      await shell.prints('status=');
    });
    assert.equal(output.match(/got-int\r/g)?.length, 2, output);
  });

  it("the terminal is the shell's again after a command that took it", async () => {
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`sh -c '${typetun} bash --norc -ic "exit 6"; echo first=$?; read line; echo "second=$line"'\n`);
      await shell.prints('first=6');
      stdin?.write('typed\n');
      await shell.prints('second=typed');
    });
  });
});
