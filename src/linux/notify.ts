/** sd_notify(3): tells the service manager, where there is one, how this service is doing. */
import { addressOf, allocate, loadLibrary } from './ffi.js';
import { close, SOCK_CLOEXEC, SOCK_DGRAM, socket } from './libc.js';

const AF_UNIX = 1;
/** sockaddr_un: the family and at most 108 bytes of path, unix(7). */
const PATH_AT = 2;
const MAX_PATH = 108;

/**
 * @param state such as `READY=1`
 * @param where `NOTIFY_SOCKET`: a path, or `@` and an abstract name
 * @returns whether somebody was told; nobody has to be there
 */
export function notifyServiceManager(state: string, where: string | undefined = process.env['NOTIFY_SOCKET']): boolean {
  const path = new TextEncoder().encode(where ?? '');
  if (path.length === 0 || path.length > MAX_PATH) return false;
  const sendto = loadLibrary(null).func('sendto', 'ssize', ['int', 'pointer', 'size', 'int', 'pointer', 'u32']);
  const address = allocate(PATH_AT + MAX_PATH);
  address[0] = AF_UNIX;
  address.set(path, PATH_AT);
  if (where?.startsWith('@')) address[PATH_AT] = 0;
  const text = allocate(state.length);
  text.set(new TextEncoder().encode(state));
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const sent = sendto(fd, addressOf(text), text.length, 0, addressOf(address), PATH_AT + path.length);
  close(fd);
  return sent >= 0;
}
