# a global is read and written
    add esi, [rdi + count]
    mov [rdi + count], esi
    mov rax, [rdi + fixed]
    mov rdx, [rdi + lent_global]
    mov [rdx], esi
    mov eax, [rdx]
    ret

# a memory's size
    mov rax, [rdi + memory + 8]
    mov rdx, [rdi + shared_memory]
    mov rax, [rdx + 8]
    ret
