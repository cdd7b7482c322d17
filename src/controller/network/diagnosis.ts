import type { Diagnosis, TraceRequest, TraceResult, WhyAnswer, WhyRequest } from '../diagnosis.ts';
import type { Principal } from '../model/principal.ts';
import type { Network } from './network.ts';
import { Tracer } from './trace.ts';
import { WhyAnswers } from './why.ts';

/** Answers questions about the network as it is, with the agents' help. */
export class NetworkDiagnosis implements Diagnosis {
  readonly #tracer: Tracer;
  readonly #answers: WhyAnswers;

  constructor(network: Network) {
    this.#tracer = new Tracer(network);
    this.#answers = new WhyAnswers(network);
  }

  trace(request: TraceRequest, principal: Principal): Promise<TraceResult> {
    return this.#tracer.trace(request, principal);
  }

  why(request: WhyRequest, principal: Principal, limit: number): Promise<readonly WhyAnswer[]> {
    return this.#answers.why(request, principal, limit);
  }
}
