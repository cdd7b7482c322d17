/**
 * Answers one management command (`ovs-appctl TARGET NAME ARGS...`). The text it returns is the reply;
 * what it throws becomes an error reply that carries the message. A `WeftError` means that the
 * caller asked for something impossible; anything else is a bug of ours and is logged as well.
 */
export type CommandHandler = (args: readonly string[]) => string | undefined | Promise<string | undefined>;

/** Where a part of a daemon offers its management commands. */
export interface CommandRegistry {
  /**
   * Offers `name` with at least `minArgs` and at most `maxArgs` arguments (`Infinity`: any number).
   * `usage` is what `list-commands` shows behind the name; `undefined` hides the command there.
   * Registering a name again replaces it.
   */
  register(
    name: string,
    usage: string | undefined,
    minArgs: number,
    maxArgs: number,
    handler: CommandHandler,
  ): void;
}

/** Drops every registration: for tests and for parts that run without a daemon around them. */
export const noCommands: CommandRegistry = { register() {} };
