/**
 * Tells how many of something exist ("flows", "ports", "rules"): what one would expect memory to grow
 * with. `ovs-appctl memory/show` and the periodic log line sum the answers of all parts by name.
 */
export type UsageReporter = () => Iterable<readonly [name: string, count: number]>;
