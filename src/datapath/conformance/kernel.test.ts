import { differentialSuite } from './differential.ts';
import { kernelHarness, kernelMissing } from './kernel-harness.ts';
import { conformanceSuite } from './suite.ts';

conformanceSuite('kernel', kernelHarness, kernelMissing);
// WEFT_DIFFERENTIAL=N runs as many scenarios, WEFT_DIFFERENTIAL_SEED=N others.
const scenarios = Number(process.env.WEFT_DIFFERENTIAL ?? 12);
const seed = Number(process.env.WEFT_DIFFERENTIAL_SEED ?? 2000);
differentialSuite('kernel', kernelHarness, { scenarios, steps: 40, seed }, kernelMissing);
