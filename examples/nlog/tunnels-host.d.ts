import type { Engine, HostFunction, OpaqueType } from '../../src/nlog/index.ts';
/** What the host gives the tunnel example: a match on register 1, and an output to a port. */
export interface Match {
    readonly reg1: number;
}
export interface Actions {
    readonly output: number;
}
export declare const types: readonly OpaqueType[];
export declare const functions: readonly HostFunction[];
/**
 * Plays the switches' part: each tunnel that is wanted gets the next free port number of its
 * hypervisor, which comes back as a row of `ovfdb_tport`. This is how an output table and an input table
 * are hooked together through code.
 */
export declare function assignTunnelPorts(engine: Engine): void;
