// Calls all that every64_1.dll exports by name. It needs no run-time library,
// so that every linker can link it.
__declspec(dllimport) extern int state;
int add(int a, int b);                       // by the library's jump
__declspec(dllimport) int next(void);        // by the address itself
const char *a_function_with_a_name_that_is_longer_than_sixteen_characters(void);
unsigned ticks(void);                        // forwarded to kernel32
__declspec(dllimport) void __stdcall ExitProcess(unsigned);
#ifdef DELAYED
#define state 42                             // data cannot be delayed
#endif

int main(void) {
  int ok = add(2, 3) == 5;
  ok &= next() == 42 && state == 42;
  ok &= a_function_with_a_name_that_is_longer_than_sixteen_characters()[3] == 'g';
  ok &= ticks() != 0;
  ExitProcess(ok ? 23 : 1); // no status of a failure
  return 0;
}
