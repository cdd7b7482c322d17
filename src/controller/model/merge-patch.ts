import { ModelError, show } from './problem.ts';

/** No schema of ours is deeper; a patch that is would only cost time. */
const MAX_DEPTH = 16;

type Members = Record<string, unknown>;

export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * `target` as a JSON merge patch (RFC 7396) changes it: members of the patch replace, null removes, objects merge.
 * Neither argument is changed. Throws `bad-object` for what is nested too deep.
 */
export function mergePatch(target: unknown, patch: unknown, depth = 0): unknown {
  if (!isObject(patch)) return patch;
  if (depth === MAX_DEPTH) {
    throw new ModelError('bad-object', [
      {
        member: '',
        value: patch,
        message: `the patch is nested more than ${MAX_DEPTH} deep: ${show(patch)}`,
        remedy: 'send only members that the object has',
      },
    ]);
  }
  // Without a prototype no name means anything special, "__proto__" neither.
  const merged: Members = Object.assign(Object.create(null), isObject(target) ? target : {});
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value, depth + 1);
  }
  return { ...merged };
}
