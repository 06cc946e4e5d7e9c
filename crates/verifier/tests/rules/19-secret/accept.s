# saved, never looked at
    push rbx
    mov rbx, rdi
    mov rdi, rbx
    pop rbx
    mov eax, esi
    ret

# a register compared with itself, whatever it holds
    xor eax, eax
    xor ecx, ecx
    sub rdx, rdx
    mov eax, edx
    mov [rdi], eax                  ! memory
    ret

# a bit whose number has an upper half that is not to be looked at
    mov eax, [rdi]                  ! memory
    bt rax, rsi
    jae .end
    mov eax, 1
.end:
    ret

# the flag that a test of a bit, or a scan for one, sets
    bt esi, 1
    setb al
    bsf ecx, esi
    sete cl
    movzx eax, al
    ret
