/** The TypeScript sources of a checkout, parsed by the compiler that builds them. */
import { join, relative } from 'node:path';
import type { SourceFile } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

export interface Source {
  /** From the root, with slashes: `src/core/noise.ts`. */
  readonly path: string;
  readonly ast: SourceFile;
}

/**
 * Calls `visit` with the sources under `folder`, sorted by path. The syntax trees are valid during the call only.
 * @param root holds tsconfig.json
 * @param folder below it, for instance `src`
 * @throws when the project cannot be opened
 */
export function withSources<T>(root: string, folder: string, visit: (sources: readonly Source[]) => T): T {
  const api = new API({ cwd: root });
  try {
    const config = join(root, 'tsconfig.json');
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
    if (project === undefined) throw new Error(`${config} could not be opened`);
    const sources: Source[] = [];
    for (const name of project.program.getSourceFileNames()) {
      const path = relative(root, name);
      if (!path.startsWith(`${folder}/`)) continue;
      const ast = project.program.getSourceFile(name);
      if (ast !== undefined) sources.push({ path, ast });
    }
    return visit(sources.sort((a, b) => (a.path < b.path ? -1 : 1)));
  } finally {
    api.close();
  }
}
