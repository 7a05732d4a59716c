/** Imported by NODE_OPTIONS into the data worker as well: the first status fills its heap until V8 ends the thread. */
import { isMainThread, parentPort } from 'node:worker_threads';

if (!isMainThread && parentPort) {
  const post = parentPort.postMessage.bind(parentPort);
  parentPort.postMessage = (message: { type: string }, ...more: []): void => {
    const heap: number[][] = [];
    while (message.type === 'peers') heap.push(new Array<number>(1e4).fill(0));
    post(message, ...more);
  };
}
