/** The `context` argument of a Lambda handler, and its old ways of answering: done, succeed, fail. */

/** `answer(error, result)` ends the invocation; it is called at most once by what is made here. */
export function makeContext(head, clientContext, answer) {
  const environment = process.env;
  const done = (error, result) => answer(error, result);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext,
    identity: undefined,
    invokedFunctionArn: head.arn,
    awsRequestId: head.request_id,
    getRemainingTimeInMillis: () => Math.max(head.deadline_ms - Date.now(), 0),
    done,
    succeed: (result) => done(null, result),
    fail: (error) => done(error ?? "handled"),
  };
}
