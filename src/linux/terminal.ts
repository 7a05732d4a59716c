/** The controlling terminal's foreground process group: tcgetpgrp(3), credentials(7). */
import { addressOf, allocate, loadLibrary, type Native } from './ffi.js';
import { close, ioctl, O_CLOEXEC, O_RDWR, openPath } from './libc.js';

const library = loadLibrary(null);
const getpgrp: Native = library.func('getpgrp', 'int', []);
const signal: Native = library.func('signal', 'pointer', ['int', 'pointer']);

const TIOCGPGRP = 0x540f;
const TIOCSPGRP = 0x5410;
const SIGTTOU = 22;
const SIG_DFL = 0;
const SIG_IGN = 1;

const group: Uint8Array = allocate(4);
const view: DataView = new DataView(group.buffer);

/** Runs `action` with the controlling terminal. @returns undefined where there is none */
function withTerminal<T>(action: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openPath('/dev/tty', O_RDWR | O_CLOEXEC);
  } catch {
    return undefined;
  }
  try {
    return action(fd);
  } finally {
    close(fd);
  }
}

/** Whether what is typed at the terminal, Ctrl-C too, comes to this process and its group. */
export function isForeground(): boolean {
  return (
    withTerminal((fd) => ioctl(fd, TIOCGPGRP, addressOf(group)) === 0 && view.getInt32(0, true) === getpgrp()) ?? false
  );
}

/** Gives the terminal to the group of this process, as a shell does when a job has ended. */
export function takeForeground(): void {
  withTerminal((fd) => {
    // Who is not in the foreground and does not ignore this signal is stopped by it.
    signal(SIGTTOU, SIG_IGN);
    view.setInt32(0, getpgrp(), true);
    ioctl(fd, TIOCSPGRP, addressOf(group));
    signal(SIGTTOU, SIG_DFL);
  });
}
