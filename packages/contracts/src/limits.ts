/** Limits of CONTRACT §2 and §4; each has a setting of the same meaning, and these are the defaults. Units stand last in the name. */
export const LIMITS = {
  definitionBytesMax: 1024 * 1024,
  stepsMax: 1_000,
  nestingMax: 8,
  forEachItemsMax: 10_000,
  /** Levels of child runs below a run that nobody's step started. */
  childDepthMax: 8,
  /** Units of work of one evaluation: about one per node, per round of a comprehension and per 32 characters. */
  expressionWorkMax: 1_000_000,
  runInputBytesMax: 1024 * 1024,
  stepOutputBytesMax: 10 * 1024 * 1024,
  inlinePayloadBytesMax: 64 * 1024,
  batchRunsMax: 1_000,
  eventBytesMax: 256 * 1024,
  eventsBatchMax: 1_000,
  hookBytesMax: 1024 * 1024,
  callbackBytesMax: 1024 * 1024,
  /** Slots that a schedule with `catchUp: all` fires late at most; older ones are dropped. */
  catchUpSlotsMax: 1_000,
  listDefault: 50,
  listMax: 200,
  listEventsMax: 1_000,
  waitMsMax: 60_000,
  idempotencyKeyCharsMax: 255,
  labelsMax: 64,
} as const
