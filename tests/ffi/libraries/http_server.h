/* http_server.h: a server on the loopback interface, with threads of its own.
 *
 *   /bytes/N    N bytes, byte i being (i * 7 + 3) % 251
 *   /hold/N     half of them; then it waits for http_release before the rest
 *   /endless    bytes until the client goes away
 */
#ifndef TESTS_FFI_LIBRARIES_HTTP_SERVER_H
#define TESTS_FFI_LIBRARIES_HTTP_SERVER_H

int http_start(void);    /* its port, or -1 */
void http_release(void); /* lets those that hold go on, for good */
int http_holding(void);  /* how many have waited in /hold so far */
void http_stop(void);

static inline unsigned char http_byte(unsigned long i) {
  return (unsigned char)((i * 7 + 3) % 251);
}

#endif
