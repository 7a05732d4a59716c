/** Network namespaces of a thread: setns(2), namespaces(7). */
import { check, close, O_CLOEXEC, openPath, setns } from './libc.js';

const CLONE_NEWNET = 0x40000000;

/**
 * Runs `action` with this thread in another network namespace, and comes back.
 * @param fd the namespace
 * @throws SystemError EPERM without CAP_SYS_ADMIN there, or here: whoever could not return does not go
 */
export function withNetns<T>(fd: number, action: () => T): T {
  const home = openPath('/proc/thread-self/ns/net', O_CLOEXEC);
  try {
    check(setns(home, CLONE_NEWNET), 'setns');
    check(setns(fd, CLONE_NEWNET), 'setns');
    try {
      return action();
    } finally {
      if (setns(home, CLONE_NEWNET) < 0) stranded();
    }
  } finally {
    close(home);
  }
}

/** Sockets opened from now on would be somewhere else: nobody may go on with this thread. */
function stranded(): never {
  throw new Error('a thread could not return to its network namespace');
}
