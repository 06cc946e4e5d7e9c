# registers and stack restored
    push rbx
    push r12
    mov ebx, esi
    mov r12d, 7
    lea eax, [rbx + r12]
    pop r12
    pop rbx
    ret

# a tail call
    jmp @other

# parameters on the stack removed
> function: on_stack
    mov rax, [rsp + 8]
    ret 16

# the stub for bad calls does not return
> function: bad_call
    ud2                             ! unreachable

# what a scan finds, or 32
    mov ecx, 32
    bsf eax, esi
    cmove eax, ecx
    ret
