/** mount(2) and umount2(2), for a mount namespace of one's own: mount_namespaces(7). */
import { addressOf, cString, loadLibrary, type Native } from './ffi.js';
import { check } from './libc.js';

const library = loadLibrary(null);
const mount2: Native = library.func('mount', 'int', ['pointer', 'pointer', 'pointer', 'ulong', 'pointer']);
const umount2: Native = library.func('umount2', 'int', ['pointer', 'int']);

const MS_RDONLY = 0x1;
const MS_NOSUID = 0x2;
const MS_NODEV = 0x4;
const MS_NOEXEC = 0x8;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MNT_DETACH = 2;

function mountCall(source: string, target: string, type: string, flags: number, data: string): void {
  const texts = [source, target, type, data].map(cString);
  const [from, to, kind, options] = texts.map(addressOf) as [number, number, number, number];
  check(mount2(from, to, kind, flags, options), `mount ${target}`);
  // Named again so that they outlive the call.
  for (const text of texts) text.fill(0);
}

/** Mounts a new file system: nothing in it is a device, runs, or runs as somebody else. @throws SystemError */
export function mountNew(type: 'tmpfs' | 'proc' | 'sysfs', target: string, data = '', readOnly = false): void {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (readOnly ? MS_RDONLY : 0);
  mountCall(type, target, type, flags, data);
}

/** Shows `source`, with what is mounted below it, at `target` as well. @throws SystemError */
export function bindMount(source: string, target: string): void {
  mountCall(source, target, '', MS_BIND | MS_REC, '');
}

/** Takes away what was mounted last at `target`; what still is in use lives on without a name. @throws SystemError */
export function unmount(target: string): void {
  const text = cString(target);
  check(umount2(addressOf(text), MNT_DETACH), `umount ${target}`);
  text.fill(0);
}
