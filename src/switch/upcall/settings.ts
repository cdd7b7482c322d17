/** How the slow path keeps its megaflows; from the database's other_config. */
export interface SlowPathSettings {
  /** A megaflow without packets for so long goes (max-idle, ms). */
  readonly maxIdle: number;
  /** Most megaflows (flow-limit). */
  readonly flowLimit: number;
  /** At least so often statistics are pushed and flows looked at (max-revalidator, ms). */
  readonly maxRevalidator: number;
  /** Tags of a packet that the pipeline sees (vlan-limit); those behind are payload. */
  readonly vlanLimit: number;
}

export const DEFAULT_SETTINGS: SlowPathSettings = {
  maxIdle: 10_000,
  flowLimit: 200_000,
  maxRevalidator: 500,
  vlanLimit: 1,
};
