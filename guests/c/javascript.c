/* A JavaScript engine as a library that answers requests, the way server-side runtimes do it: the engine starts and
   the application is loaded once, then `answer` is called for each request. Where nobody did so before, the first
   request does. QuickJS-ng's sources come from a Rust package that carries them. */
#include "dtoa.c"
#include "libregexp.c"
#include "libunicode.c"
#include "quickjs.c"

#define REQUEST_BYTES_MAX 4096

static const char application[] =
    "const stock = [];\n"
    "for (let i = 0; i < 500; i++) stock.push({ id: i, name: 'article ' + i, price: (i * 7919) % 1000 / 10 });\n"
    "const byName = new Map(stock.map(article => [article.name, article]));\n"
    "const weekday = date => ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][date.getUTCDay()];\n"
    "const routes = [\n"
    "  [/^\\/article\\/(?<name>[a-z0-9 ]+)$/, ({ name }) => byName.get(name) ?? { error: 'no ' + name }],\n"
    "  [/^\\/cheaper\\/(?<than>\\d+)$/, ({ than }) => stock.filter(({ price }) => price < than).map(({ id }) => id)],\n"
    "  [/^\\/fibonacci\\/(?<n>\\d+)$/, ({ n }) => { let [a, b] = [0n, 1n]; while (n-- > 0) [a, b] = [b, a + b]; return `${a}`; }],\n"
    "  [/^\\/weekday\\/(?<day>[-\\d]+)$/, ({ day }) => weekday(new Date(day))],\n"
    "  [/^\\/count$/, () => ++served],\n"
    "];\n"
    "let served = 0;\n"
    "globalThis.answer = path => {\n"
    "  for (const [pattern, handle] of routes) {\n"
    "    const match = pattern.exec(path);\n"
    "    if (match) return JSON.stringify(handle(match.groups ?? {}));\n"
    "  }\n"
    "  throw new RangeError(`nothing is at ${path}`);\n"
    "};\n";

static JSContext *context;
static JSValue handler;
static char request[REQUEST_BYTES_MAX + 1];
static char *reply;

/* Starts the engine and loads the application. */
__attribute__((export_name("wizer.initialize"))) void initialize(void) {
  context = JS_NewContext(JS_NewRuntime());
  if (!context) abort();
  JSValue loaded = JS_Eval(context, application, sizeof application - 1, "application.js", JS_EVAL_TYPE_GLOBAL);
  if (JS_IsException(loaded)) abort();
  JSValue global = JS_GetGlobalObject(context);
  handler = JS_GetPropertyStr(context, global, "answer");
  JS_FreeValue(context, global);
}

/* Where to put a request's path. */
__attribute__((export_name("request"))) char *request_buffer(void) { return request; }

/* Answers the request of so many bytes; returns the number of bytes of the reply. */
__attribute__((export_name("answer"))) uint32_t answer(uint32_t len) {
  if (!context) initialize();
  if (len > REQUEST_BYTES_MAX) abort();
  request[len] = 0;
  JSValue path = JS_NewStringLen(context, request, len);
  JSValue result = JS_Call(context, handler, JS_UNDEFINED, 1, &path);
  JS_FreeValue(context, path);
  if (JS_IsException(result)) result = JS_GetException(context);
  const char *text = JS_ToCString(context, result);
  free(reply);
  reply = strdup(text ? text : "");
  JS_FreeCString(context, text);
  JS_FreeValue(context, result);
  return strlen(reply);
}

/* The last reply. */
__attribute__((export_name("reply"))) const char *reply_buffer(void) { return reply; }
