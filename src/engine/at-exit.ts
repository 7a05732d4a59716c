/** What has to be done when the process ends without having closed its devices. One listener is for all of them. */

const all = new Set<() => void>();

function doAll(): void {
  for (const work of all) work();
}

/** @param work done in the process's `exit`: at once, or not at all @returns takes it back */
export function atExit(work: () => void): () => void {
  if (all.size === 0) process.on('exit', doAll);
  all.add(work);
  return () => {
    all.delete(work);
    if (all.size === 0) process.off('exit', doAll);
  };
}
