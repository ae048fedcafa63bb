/** A handler of our own, called before a function is known: an ES module. */

export const handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event) });
