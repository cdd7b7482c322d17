import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Diagnosis } from '../controller/diagnosis.ts';
import type { Model } from '../controller/model/model.ts';
import type { RealizationSource } from '../controller/realization.ts';
import type { Tokens } from './tokens.ts';

/** What the routes work with. */
export interface Services {
  readonly model: Model;
  readonly tokens: Tokens;
  readonly realization: RealizationSource;
  readonly diagnosis: Diagnosis;
  readonly clock: Clock;
  readonly log: Logger;
}
