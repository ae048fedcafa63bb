/** A handler of our own, called before a function is known: CommonJS. */

exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event) });
