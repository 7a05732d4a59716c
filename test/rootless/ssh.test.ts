/** ssh, scp and sftp, as they are, through `typetun exec` to an sshd behind wireguard-go: world.ts draws it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Job, missing } from '../netns/harness.js';
import { contentOf } from './server.js';
import { asUser, INSIDE, noUser, UID } from './user.js';
import { SERVER, World } from './world.js';

const TIMEOUT_MS = 120_000;
const BYTES = 10_000_000;
const skip = noUser(['ssh', 'scp', 'sftp', 'sshd', 'ssh-keygen', 'script']) || missing([], ['wireguard-go']);

/** ssh(1) wants a user with a name. */
const WITH_NAME = `
cp /etc/passwd /mnt/passwd
echo 'somebody:x:${UID}:${UID}::${INSIDE.home}:/bin/sh' >> /mnt/passwd
mount --bind /mnt/passwd /etc/passwd`;

let world: World;
/** Of every client. */
let options: readonly string[] = [];

/** Writes keys of both ends, and starts sshd in the namespace of the server. */
async function startSsh({ lab, directory }: World): Promise<void> {
  const remote = `${directory}/sshd`;
  mkdirSync(remote, { mode: 0o700 });
  await lab.sh(`ssh-keygen -q -t ed25519 -N '' -f ${remote}/host; ssh-keygen -q -t ed25519 -N '' -f ${directory}/user`);
  const hostKey = readFileSync(`${remote}/host.pub`, 'utf8');
  writeFileSync(`${directory}/known_hosts`, SERVER.map((address) => `${address} ${hostKey}`).join(''));
  writeFileSync(`${remote}/authorized_keys`, readFileSync(`${directory}/user.pub`));
  for (const name of ['user', 'known_hosts']) chownSync(`${directory}/${name}`, UID, UID);
  chmodSync(`${directory}/user`, 0o600);
  const config = [
    ...SERVER.map((address) => `ListenAddress ${address}`),
    `HostKey ${remote}/host`,
    `AuthorizedKeysFile ${remote}/authorized_keys`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
  ];
  writeFileSync(`${remote}/config`, config.join('\n'));
  // Its directory for privilege separation is one that boot scripts make.
  const script = `mount -t tmpfs tmpfs /run; mkdir /run/sshd; exec /usr/sbin/sshd -D -e -f ${remote}/config`;
  const sshd = lab.spawn('s', ['sh', '-c', script]);
  await sshd.prints(/Server listening[\s\S]*Server listening/);
  const known = ['-o', `UserKnownHostsFile=${directory}/known_hosts`, '-o', 'StrictHostKeyChecking=yes'];
  options = ['-F', '/dev/null', '-i', `${directory}/user`, ...known, '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'];
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

describe('typetun exec: ssh', { skip, timeout: TIMEOUT_MS }, () => {
  before(async () => {
    world = await World.make();
    await startSsh(world);
  });
  after(() => world?.close());

  for (const address of SERVER) {
    it(`a command at ${address}: what it prints and reads, and its exit status`, async () => {
      const remote = 'cat; echo wrong >&2; echo from $(set $SSH_CLIENT; echo $1); exit 7';
      const { code, stdout, stderr } = await world.exec(['ssh', ...options, `root@${address}`, remote], {
        prepare: WITH_NAME,
        input: 'some\0bytes\n',
      });
      const from = address.replace(/1$/, '2');
      assert.deepEqual([code, stdout, stderr], [7, `some\0bytes\nfrom ${from}\n`, 'wrong\n']);
    });
  }

  it('10 MB by scp there and by sftp back are whole', async () => {
    const { directory } = world;
    const names = ['original', 'copy', 'copy-of-copy'].map((name) => `${directory}/${name}`);
    writeFileSync(names[0]!, Buffer.concat([...contentOf(1, BYTES)]));
    const [original, copy, back] = names as [string, string, string];
    const script = `scp -q "$@" ${original} root@${SERVER[0]}:${copy} && echo get ${copy} ${back} |
      sftp -q -b - "$@" 'root@[${SERVER[1]}]'`;
    const { code, stderr } = await world.exec(['sh', '-c', script, 'sh', ...options], { prepare: WITH_NAME });
    assert.deepEqual([code, stderr], [0, '']);
    const [expected, ...hashes] = await Promise.all(names.map(hashOf));
    assert.deepEqual(hashes, [expected, expected]);
  });

  it('with a terminal: its size, Ctrl-C for the remote command, and the exit status', async () => {
    const remote = `stty size; trap 'echo got-int; exit 3' INT; echo up=; while :; do sleep 0.1; done`;
    const ssh = ['ssh', ...options, '-tt', `root@${SERVER[0]}`, `"${remote}"`].join(' ');
    const script = `stty rows 33 cols 99; ${INSIDE.typetun} exec ${world.config} ${ssh}`;
    const user = asUser({ netns: world.lab.ns('c'), prepare: WITH_NAME });
    const job = new Job([...user, 'script', '-qec', script, '/dev/null'], {}, null);
    try {
      await job.prints(/33 99\r\nup=/);
      job.child.stdin?.write('\x03');
      assert.equal((await job.end(20_000)).code, 3, job.output);
      assert.match(job.stdout, /got-int/);
    } finally {
      job.killNow();
    }
  });
});
