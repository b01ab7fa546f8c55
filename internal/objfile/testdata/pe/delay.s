 .text
 .globl entry
entry:
 callq *__imp_WaitOnAddress(%rip)
 callq *__imp_one(%rip)
 callq *__imp_two(%rip)
 callq *__imp_three(%rip)
 callq *__imp_memcpy(%rip)
 callq first
 callq second
 callq third
 ret
 .globl __delayLoadHelper2
__delayLoadHelper2:
 ret
 .globl exported
exported:
 ret
 .section .drectve,"yn"
 .ascii " -export:exported "
