// Who bought in the iOS app lately, and who of them spent how much for where they live: the audiences
// of ../recent-ios-buyers in JavaScript. The manifest says what the host decides or hands over;
// `evaluate` reads it by index.

const CODE = 'muster-build-writes-version-here';

const manifest = {
  manifest: 1,
  name: 'rules-in-javascript',
  selectors: [
    { event: 'purchase', context: { platform: { eq: 'iOS' } } },
    { event: 'refund' },
    { event: 'purchase' },
  ],
  features: [
    { selector: 0, aggregate: 'count', within: '30d' },
    { selector: 1, aggregate: 'count', within: '7d' },
    { selector: 2, aggregate: 'sum', of: 'amount', within: '30d' },
    { attribute: 'country' },
  ],
  conditions: [
    { feature: 0, is: { gte: 1 } },
    { feature: 1, is: { gte: 1 } },
  ],
  values: [2, 3],
  audiences: [
    { id: 'recent-ios-buyers', name: 'Recent iOS buyers', version: CODE, conditions: [0, 1] },
    {
      id: 'big-ios-spenders',
      name: 'Big iOS spenders',
      version: CODE,
      conditions: [0, 1],
      values: [0, 1],
    },
  ],
};
const [BOUGHT, REFUNDED] = [0, 1];
const [SPENT, COUNTRY] = [0, 1];
const BILLION = 1_000_000_000n;

const audiences = [
  // recent-ios-buyers
  (holds) => holds(BOUGHT) && !holds(REFUNDED),
  // big-ios-spenders
  (holds, values) => {
    const country = values[COUNTRY].tag === 'text' ? values[COUNTRY].val : undefined;
    const much = country === 'US' || country === 'CA' ? 500n : 300n;
    const spent = billionths(values[SPENT]);
    return holds(BOUGHT) && !holds(REFUNDED) && spent !== undefined && spent >= much * BILLION;
  },
];

// A number of 128 bits comes as its halves, each a BigInt.
function billionths(value) {
  return value.tag === 'number' ? (value.val.high << 64n) + value.val.low : undefined;
}

// Written once: what is built is the program after this has run.
const described = JSON.stringify(manifest);

export const decisions = {
  describe: () => described,
  evaluate(asked, conditions, values) {
    const holds = (condition) => conditions.includes(condition);
    // What is asked comes as a Uint32Array, whose `map` would make numbers of the answers.
    return Array.from(asked, (audience) => audiences[audience](holds, values));
  },
};
