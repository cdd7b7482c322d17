import { WeftError } from '../base/errors.ts';

/** Rejects with `message` when `promise` takes longer than `ms`. */
export async function within<T>(ms: number, promise: Promise<T>, message: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WeftError('lab-timeout', message())), ms);
    // What was waited for keeps the process alive; when nobody waits any more, this alone must not.
    timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
