/* sanitized.h: whether this is compiled for a sanitizer, under which some things take too long. (gcc says so in one way,
 * clang in another.) */
#ifndef RXN_TEST_SANITIZED_H
#define RXN_TEST_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if !defined(SANITIZED)
#define SANITIZED 0
#endif

#endif
